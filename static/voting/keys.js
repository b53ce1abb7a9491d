// Names the key that was pressed, on any layout, and for people who have changed their keys.
//
// A key counts by what it types, and else by its place on a US keyboard. So digits answer without
// Shift on French and Czech keyboards, and letters work on Cyrillic, Greek and Arabic ones.

// The usual character of each action, as in `labeler/accounts/keys.py`. Pages know actions by it.
const USUAL = {
  left: "1", center: "2", right: "3", unsure: "u", undo: "z", help: "?", gold: "g", skip: "s", flag: "f",
};
/** @type {Record<string, string>} */ const OWN = JSON.parse(document.body.dataset.keys ?? "null") ?? USUAL;

/** Whether keys are held that make another shortcut of it. @param {KeyboardEvent} event */
export function isCombined(event) {
  const { ctrlKey, metaKey, altKey } = event;
  return ctrlKey || metaKey || altKey || event.getModifierState("AltGraph");
}

/**
 * Return the name among `names` by which a page knows the key. Else return the key's own name, or
 * "" if it is a character, because this person has given it another meaning or none.
 * @param {KeyboardEvent} event
 * @param {string[]} names digits, small letters, "?", and names such as "ArrowLeft"
 */
export function nameOf(event, names) {
  const typed = event.key.length > 1 ? "" : event.key.toLowerCase();
  if (!typed && names.includes(event.key)) return event.key;
  for (const character of [typed, atPlace(event)]) {
    const action = Object.keys(OWN).find((one) => OWN[one] !== "" && OWN[one] === character);
    if (action && names.includes(USUAL[action])) return USUAL[action];
  }
  return typed ? "" : event.key;
}

function atPlace({ code, shiftKey }) {
  if (code.startsWith("Key")) return code.slice("Key".length).toLowerCase();
  if (code.startsWith("Digit") && !shiftKey) return code.slice("Digit".length);
  return code === "Slash" && shiftKey ? "?" : "";
}
