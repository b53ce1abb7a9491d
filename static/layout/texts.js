// The texts of scripts, in the language of the page. The page gives them as JSON:
//
//   <script type="application/json" id="texts">{{ {
//     "undone": _("Undone."),
//     "left": _("%(count)s to go", count="{count}"),
//     "votes.one": ngettext("%(num)s vote", "%(num)s votes", 1, num="{count}"),
//     "votes.other": ngettext("%(num)s vote", "%(num)s votes", 2, num="{count}"),
//   } | tojson }}</script>
//
// Parts that several pages share give theirs in a block of their own, with an id such as
// "texts-live".

/** The language of the page, as the functions of `Intl` know it. */
export const LANGUAGE = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;

const plural = new Intl.PluralRules(LANGUAGE);
const decimal = new Intl.NumberFormat(LANGUAGE, { useGrouping: "always" });
const blocks = document.querySelectorAll("script[type='application/json'][id^='texts']");
/** @type {Record<string, string>} */
const TEXTS = Object.assign({}, ...Array.from(blocks, (block) => JSON.parse(block.textContent)));

/** Write a number with the separators of the language. @param {number} value */
export function number(value) {
  return decimal.format(value);
}

/**
 * Return a text with values in it. `{count}` is replaced by `values.count`, numbers with separators.
 * A text with the forms "votes.one" and "votes.other" is chosen by `values.count`.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function text(key, values = {}) {
  const found = TEXTS[key] ?? TEXTS[`${key}.${plural.select(Number(values.count))}`] ?? TEXTS[`${key}.other`];
  if (found === undefined) console.error(`The page has no text "${key}".`);
  return (found ?? key).replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : value ?? whole;
  });
}
