/** Text with the words of the query marked. */

export function Highlighted({ value, words }: { value: string; words: string }) {
  const parts = words
    .toLowerCase()
    .split(/[^\p{L}\p{N}.,'-]+/u)
    .filter((word) => word.length > 1 || /\p{Script=Han}/u.test(word));
  if (parts.length === 0) return <>{value}</>;
  const pattern = new RegExp(`(${parts.map(escape).join("|")})`, "giu");
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
