// What every page does: times in the browser's time zone, forms that are sent once, and a menu that
// shows where one is. Without this script times are in UTC.

import { LANGUAGE } from "./texts.js";

const ZONE_KEPT_S = 365 * 86_400;
const SENT_MS = 15_000; // after so long a form can be sent again, because nothing has come of it
const DAY = { day: "2-digit", month: "short", year: "numeric" };
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const SHOWN = {
  day: DAY,
  minute: { ...DAY, ...CLOCK },
  second: { ...DAY, ...CLOCK, second: "2-digit" },
  clock: CLOCK,
  hour: { day: "2-digit", month: "short", ...CLOCK },
};

/** Replace the UTC text of times by the local one. @param {ParentNode} root */
function localise(root) {
  for (const element of root.querySelectorAll("[data-shown]")) {
    const at = new Date(element.getAttribute("datetime"));
    const local = new Intl.DateTimeFormat(LANGUAGE, SHOWN[element.dataset.shown]).format(at);
    const utc = element.dataset.utc ?? element.textContent;
    if (element.localName === "time") element.title = utc;
    element.textContent = element.textContent.replace(utc, local);
    element.removeAttribute("data-shown");
  }
  for (const element of root.querySelectorAll("[data-zone]")) {
    element.textContent = element.textContent.replace(" (UTC)", "");
    element.removeAttribute("data-zone"); // done: another change would call the observer again
  }
}

/** Tell the site the time zone, by which it counts days. */
function tellZone() {
  const { zoneCookie: name, cookiePath: path } = document.documentElement.dataset;
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const secure = location.protocol === "https:" ? ";secure" : "";
  if (timeZone) document.cookie = `${name}=${timeZone};path=${path};max-age=${ZONE_KEPT_S};samesite=lax${secure}`;
}

tellZone();
localise(document);
if (document.getElementById("live-state")) { // its parts are replaced from time to time
  const observer = new MutationObserver(() => localise(document));
  observer.observe(document.body, { childList: true, subtree: true });
}

document.addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  const method = submitter?.getAttribute("formmethod") ?? form.getAttribute("method");
  if (event.defaultPrevented || method?.toLowerCase() !== "post") return;
  if (form.hasAttribute("data-sent")) return event.preventDefault();
  form.setAttribute("data-sent", "");
  submitter?.setAttribute("aria-disabled", "true");
  setTimeout(release, SENT_MS);
});
window.addEventListener("pageshow", release); // back from the next page

function release() {
  for (const form of document.querySelectorAll("form[data-sent]")) form.removeAttribute("data-sent");
  for (const button of document.querySelectorAll("button[aria-disabled]")) button.removeAttribute("aria-disabled");
}

for (const here of document.querySelectorAll(".menu > li > [aria-current]")) {
  const menu = here.closest(".menu");
  menu.scrollLeft = here.offsetLeft - menu.offsetLeft - (menu.clientWidth - here.offsetWidth) / 2;
}
