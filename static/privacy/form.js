// The form of the privacy notice: it previews the text while the admin types. Without this script
// the button "Preview" does the same.

const WAIT_MS = 400;

const form = document.getElementById("notice-form");
const preview = document.getElementById("preview");
const wrong = document.getElementById("privacy_notice-wrong");
const text = document.getElementById("privacy_notice");
let timer = 0;
let running = new AbortController();

async function tryOut() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const headers = { Accept: "application/json" };
  try {
    const sent = { method: "POST", body: new FormData(form), headers, signal };
    const found = await (await fetch(form.dataset.try, sent)).json();
    if (signal.aborted || !found.ok) return;
    const parsed = new DOMParser().parseFromString(found.preview, "text/html");
    preview.replaceChildren(...parsed.body.childNodes);
    forgetProblem();
    if (found.problem) preview.textContent = found.problem;
  } catch {
    // Offline, or a newer request follows: the old preview stays. The button still works later.
  }
}

/** Take away what was said about the text that was sent before. */
function forgetProblem() {
  wrong?.remove();
  text.removeAttribute("aria-invalid");
  text.removeAttribute("aria-describedby");
}

document.getElementById("preview-button").hidden = true;
form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(tryOut, WAIT_MS);
});
