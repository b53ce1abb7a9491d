// Keeps a text that is being typed in this browser tab until it is sent. So neither a lost connection
// nor the end of a session loses it. Without this script the page works the same.

const account = document.body.dataset.account ?? "";

for (const area of document.querySelectorAll("textarea[data-draft]")) keep(area);
// A thread that is read tells so by itself; without scripts there is a button.
const read = document.getElementById("mark-read");
if (read && document.visibilityState === "visible") void markRead(read);

/** Restore the draft of a field and keep it up to date. @param {HTMLTextAreaElement} area */
export function keep(area) {
  const name = `sidelight.draft.${location.origin}.${account}.${area.dataset.draft}`;
  const sent = [...document.querySelectorAll(".thread .mine .said")].at(-1)?.textContent.trim();
  const draft = sessionStorage.getItem(name) ?? "";
  if (draft.trim() === sent) sessionStorage.removeItem(name);
  else if (area.value === "") area.value = draft;
  area.addEventListener("input", () => sessionStorage.setItem(name, area.value));
}

async function markRead(form) {
  const request = { method: "POST", body: new FormData(form), redirect: "manual" };
  const answer = await fetch(form.action, request).catch(() => null);
  if (answer?.type === "opaqueredirect") form.hidden = true; // as after the button: the site leads back
}
