// Names the key that was pressed, on any layout.
//
// A key counts by what it types, and else by its place on a US keyboard. So digits answer without
// Shift on French and Czech keyboards, and letters work on Cyrillic, Greek and Arabic ones.

/** Whether keys are held that make another shortcut of it. @param {KeyboardEvent} event */
export function isCombined(event) {
  const { ctrlKey, metaKey, altKey } = event;
  return ctrlKey || metaKey || altKey || event.getModifierState("AltGraph");
}

/**
 * Return the name among `names` by which a page knows the key, else what the key types.
 * @param {KeyboardEvent} event
 * @param {string[]} names digits, small letters, "?", and names such as "ArrowLeft"
 */
export function nameOf(event, names) {
  const typed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (names.includes(typed)) return typed;
  const place = atPlace(event);
  return names.includes(place) ? place : typed;
}

function atPlace({ code, shiftKey }) {
  if (code.startsWith("Key")) return code.slice("Key".length).toLowerCase();
  if (code.startsWith("Digit") && !shiftKey) return code.slice("Digit".length);
  return code === "Slash" && shiftKey ? "?" : "";
}
