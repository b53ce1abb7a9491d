// Uploads images in pieces. The site tells how many bytes it has, so a lost connection, a reload or a
// restart of the site costs one piece at most. Without this script the form sends a small zip file.

import { LANGUAGE, text } from "../layout/texts.js";
import { Refused, crc32, packZip } from "./zip_writer.js";

const IMAGE = /\.(jpe?g|png|bmp|gif|webp|tiff?|pgm|ppm)$/i;
const WAIT_MS = [1_000, 2_000, 5_000, 10_000]; // before another try without a connection

const form = document.getElementById("upload-form");
const files = document.getElementById("files");
const folder = document.getElementById("folder");
const name = document.getElementById("name");
const state = document.getElementById("upload-state");
const problem = document.getElementById("upload-problem");
const annotations = new Set(form.dataset.annotations.split(" "));
let paused = false;
let current = null; // {address, ...} of the upload at work
let wake = () => {};

document.getElementById("folder-field").hidden = false;
document.querySelector("[data-without-script]").hidden = true;
files.required = false;
files.addEventListener("change", () => choose(files, folder));
folder.addEventListener("change", () => choose(folder, files));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  start().catch(fail);
});
document.getElementById("stop").addEventListener("click", (event) => {
  paused = !paused;
  event.target.textContent = paused ? text("continue") : text("pause");
  state.textContent = paused ? text("paused") : "";
  wake();
});
document.getElementById("cancel").addEventListener("click", () => {
  paused = true;
  if (!current) return showForm();
  const asked = document.createElement("form");
  asked.method = "post";
  asked.action = `${current.address}/cancel`;
  asked.append(form.elements.csrf_token.cloneNode());
  document.body.append(asked);
  leaveFreely();
  asked.submit();
});
addEventListener("online", () => wake());
addEventListener("beforeunload", askBeforeLeaving);

function askBeforeLeaving(event) {
  if (current && !paused) event.preventDefault();
}

function leaveFreely() {
  removeEventListener("beforeunload", askBeforeLeaving);
}

function choose(used, other) {
  other.value = "";
  const first = used.files[0];
  if (!first || name.value) return;
  const suggested = first.webkitRelativePath ? first.webkitRelativePath.split("/")[0] : first.name.replace(/\.\w+$/, "");
  name.value = suggested.slice(0, name.maxLength);
}

async function start() {
  problem.hidden = true;
  const given = [...files.files, ...folder.files];
  if (!given.length) throw new Refused(text("nothing_chosen"));
  show(true);
  const content = await pack(given);
  const list = content.map(({ name: each, blob }) => ({ name: each, size: blob.size }));
  const marks = given.map((file) => `${file.webkitRelativePath || file.name} ${file.size} ${file.lastModified}`).sort();
  const fingerprint = crc32(new TextEncoder().encode(marks.join("\n"))).toString(16);
  const whole = new Blob(content.map(({ blob }) => blob)); // refers to the files; nothing is copied
  current = await findOrBegin(list, whole.size, fingerprint);
  await send(whole);
  state.textContent = text("complete");
  const { address } = await ask(`${current.address}/finish`, { method: "POST" });
  leaveFreely();
  location.assign(address);
}

/** The files to send: one zip of images first, then annotation files. */
async function pack(given) {
  const zips = given.filter((file) => /\.zip$/i.test(file.name));
  if (zips.length === 1) {
    const others = given.filter((file) => file !== zips[0]);
    return [zips[0], ...others].map((file) => ({ name: file.name, blob: file }));
  }
  if (zips.length > 1) throw new Refused(text("several_zips"));
  const named = given.map((file) => ({ name: withoutTop(file.webkitRelativePath) || file.name, file }));
  const wanted = named.filter(({ file }) => IMAGE.test(file.name) || annotations.has(file.name));
  if (!wanted.some(({ file }) => IMAGE.test(file.name))) throw new Refused(text("no_image"));
  wanted.sort((one, other) => (one.name < other.name ? -1 : 1));
  const blob = await packZip(wanted, (done) => tell(text("reading", { done, all: wanted.length })));
  return [{ name: "images.zip", blob }];
}

const withoutTop = (path) => path.slice(path.indexOf("/") + 1);

/** Continue the upload of the same files, if there is one. */
async function findOrBegin(list, size, fingerprint) {
  const { uploads } = await ask(form.dataset.unfinished);
  const found = uploads.find((one) => one.fingerprint === fingerprint && one.size === size);
  if (found) {
    name.value = found.name;
    state.textContent = text("continues", { name: found.name });
    return { address: `${form.dataset.begin}/${found.id}`, offset: found.offset };
  }
  const body = JSON.stringify({ name: name.value, files: list, fingerprint });
  const made = await ask(form.dataset.begin, { method: "POST", body, headers: { "Content-Type": "application/json" } });
  return { address: `${form.dataset.begin}/${made.id}`, offset: 0 };
}

async function send(whole) {
  const piece = Number(form.dataset.piece);
  let offset = current.offset;
  let begun = { time: Date.now(), offset };
  let failures = 0;
  while (offset < whole.size) {
    if (paused) {
      await new Promise((resolve) => { wake = resolve; });
      begun = { time: Date.now(), offset };
      continue;
    }
    progress(offset, whole.size, begun);
    try {
      const body = whole.slice(offset, offset + piece);
      const address = failures ? `${current.address}/offset` : `${current.address}/pieces?offset=${offset}`;
      const told = await ask(address, failures ? {} : { method: "POST", body });
      offset = told.offset;
      if (failures) state.textContent = "";
      failures = 0;
    } catch (error) {
      if (error instanceof Refused) throw error;
      state.textContent = text("lost");
      const wait = WAIT_MS[Math.min(failures++, WAIT_MS.length - 1)];
      await new Promise((resolve) => { wake = resolve; setTimeout(resolve, wait); });
      begun = { time: Date.now(), offset };
    }
  }
  progress(offset, whole.size, begun);
}

/**
 * Ask the site. It answers a piece that does not follow with the offset that does.
 * @throws {Refused} the site refused it; any other error: it did not answer
 */
async function ask(address, options = {}) {
  const headers = { Accept: "application/json", "X-CSRFToken": form.elements.csrf_token.value, ...options.headers };
  const answer = await fetch(address, { ...options, headers });
  if (answer.status === 401) throw new Refused(text("signed_out"));
  if ([408, 429, 502, 503, 504].includes(answer.status)) throw new Error("busy");
  const told = await answer.json();
  if (told.offset !== undefined || told.ok) return told;
  throw new Refused(told.error?.message ?? text("refused"));
}

function progress(offset, size, begun) {
  document.getElementById("sent").value = offset / size;
  const rate = (offset - begun.offset) / (Date.now() - begun.time); // bytes a millisecond
  const told = { sent: bytes(offset), size: bytes(size), share: Math.floor((100 * offset) / size) };
  const isKnown = rate > 0 && Date.now() - begun.time > 2_000;
  tell(isKnown ? text("sent_left", { ...told, left: duration((size - offset) / rate / 1000) }) : text("sent", told));
}

function tell(words) {
  document.getElementById("sent-words").textContent = words;
}

function fail(error) {
  showForm();
  problem.hidden = false;
  problem.firstElementChild.textContent = explain(error);
  problem.focus();
}

function explain(error) {
  if (error instanceof Refused) return error.message;
  if (error instanceof DOMException) return text("unreadable");
  return text("no_answer");
}

function show(sending) {
  document.getElementById("choose").hidden = sending;
  document.getElementById("sending").hidden = !sending;
}

function showForm() {
  current = null;
  paused = false;
  document.getElementById("stop").textContent = text("pause");
  state.textContent = "";
  show(false);
}

const decimal = new Intl.NumberFormat(LANGUAGE, { minimumFractionDigits: 1, maximumFractionDigits: 1 });

function bytes(value) {
  const [factor, unit] = value >= 1e9 ? [1e9, "GB"] : value >= 1e6 ? [1e6, "MB"] : [1e3, "kB"];
  return `${decimal.format(value / factor)} ${unit}`;
}

function duration(seconds) {
  if (seconds < 60) return text("seconds", { count: Math.max(1, Math.round(seconds)) });
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? text("minutes", { count: minutes }) : text("hours", { hours: decimal.format(minutes / 60) });
}
