// The form of a campaign. While the person types, it counts the selected images and previews the
// guideline. Without this script the button "Count and preview" does the same.

import { number, text } from "../layout/texts.js";

const WAIT_MS = 400;
const POLL_MS = 2000;

const form = document.getElementById("campaign-form");
const address = form.getAttribute("data-try"); // not form.dataset, which is the field named "dataset"
const count = document.getElementById("count");
const forecast = document.getElementById("forecast");
const preview = document.getElementById("preview");
let timer = 0;
let running = new AbortController();
let forecastOf = null; // the rules for which the forecast was counted

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(tryOut, WAIT_MS);
}

/** The values of all rules. A field that is left tells of a change once more, so events do not do. */
function rulesNow() {
  const fields = document.querySelectorAll("#all-rules :is(input, select)");
  return Array.from(fields, (field) => (field.type === "checkbox" ? field.checked : field.value)).join("\n");
}

async function tryOut() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const asked = rulesNow();
  const body = new FormData(form);
  if (asked === forecastOf) body.append("forecast", "kept"); // the site counts all images for it
  const headers = { Accept: "application/json" };
  try {
    const found = await (await fetch(address, { method: "POST", body, headers, signal })).json();
    if (signal.aborted || !found.ok) return;
    forecastOf = asked;
    show(found);
  } catch {
    // Offline, or a newer request follows: the old text stays. The button still works later.
  }
}

function show({ selected, problems, preview: html, costs, preset, cost, forecast: effect }) {
  showRules(costs, preset, cost);
  if (forecast && effect !== null && forecast.textContent !== effect) forecast.textContent = effect;
  const parsed = new DOMParser().parseFromString(html, "text/html");
  preview.replaceChildren(...parsed.body.childNodes);
  if (!html) preview.textContent = problems.guideline || text("own guide");
  if (!count) return;
  const wrong = ["sample", "seed", "filenames", "partitions", "selection"].filter((name) => problems[name]);
  if (wrong.length) count.textContent = problems[wrong[0]];
  else if (selected !== null) count.textContent = text("selected", { count: selected });
}

/** Say what the rules cost, and which preset they follow. */
function showRules(costs, preset, cost) {
  for (const [name, words] of Object.entries(costs)) {
    const place = document.getElementById(`cost-${name}`);
    place.textContent = words;
    place.closest("button").setAttribute("aria-pressed", String(name === preset));
  }
  document.getElementById("cost").textContent = cost || text("cost unknown");
  document.getElementById("own-rules").hidden = preset !== "";
}

/** A link to a field within folded parts opens them, which not every browser does by itself. */
function openAround(target) {
  for (let box = target?.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
}

/** Write start and end in the time zone of the browser. The page has them in UTC. */
function useOwnZone() {
  const zone = document.getElementById("zone");
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || !own || zone.value !== "UTC" || own === "UTC") return;
  for (const name of ["starts", "ends"]) {
    const field = document.getElementById(name);
    if (!field.value) continue;
    const time = new Date(`${field.value}Z`);
    field.value = new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  }
  zone.value = own;
  document.getElementById("zone-name").textContent = own;
}

/** Update the progress bar while the background worker adds images. */
async function follow(box) {
  try {
    const { images, selected } = await (await fetch(box.dataset.state)).json();
    document.getElementById("filling-in").textContent = number(images);
    document.getElementById("filling-bar").value = images;
    if (images >= selected) box.hidden = true;
  } catch {
    // The next request follows below.
  }
  if (!box.hidden) setTimeout(follow, POLL_MS, box);
}

document.addEventListener("click", ({ target }) => {
  const link = target.closest('a[href^="#"]');
  const named = link && document.getElementById(link.hash.slice(1));
  openAround(named);
  named?.focus();
});
openAround(document.getElementById(location.hash.slice(1)));
useOwnZone();
form.addEventListener("input", schedule);
form.addEventListener("change", schedule);
const filling = document.getElementById("filling");
if (filling) setTimeout(follow, POLL_MS, filling);
