/** Text with the words of the query marked, where a word of the text begins with them. */

const HAN = /\p{Script=Han}/u;
/** Shorter ones, such as "of" and "in", are marked only if the query has no other word. */
const MIN_LENGTH = 3;

export function Highlighted({ value, words }: { value: string; words: string }) {
  const all = words
    .toLowerCase()
    .split(/[^\p{L}\p{N}.,'-]+/u)
    .filter((word) => word.length > 1 || HAN.test(word));
  const long = all.filter((word) => word.length >= MIN_LENGTH || /\P{Script=Latin}/u.test(word));
  const parts = long.length ? long : all;
  if (parts.length === 0) return <>{value}</>;
  // Chinese has no spaces between words.
  const found = parts.map((word) => (HAN.test(word) ? "" : "(?<![\\p{L}\\p{N}])") + escape(word));
  const pattern = new RegExp(`(${found.join("|")})`, "giu");
  return (
    <>
      {value
        .split(pattern)
        .map((part, index) => (index % 2 ? <mark key={index}>{part}</mark> : part))}
    </>
  );
}

function escape(word: string): string {
  return word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
