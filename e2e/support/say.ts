// What a prompt carries to tell the scripted model how to answer. See crates/testkit/src/directives.rs.

const escape = (value: string) => value.replaceAll("\\", "\\\\").replaceAll("]", "\\]").replaceAll("\n", "\\n").replaceAll("\t", "\\t");

/** Streams these words. */
export const say = (words: string) => `[[say: ${escape(words)}]]`;

/** Calls the tool that writes a file of the workspace. */
export const write = (path: string, content: string) => `[[write: ${path} | ${escape(content)}]]`;

/** Runs a command in the workspace. */
export const bash = (command: string) => `[[bash: ${escape(command)}]]`;

/** Waits this long before each word from here on. */
export const delay = (milliseconds: number) => `[[delay: ${milliseconds}]]`;

/** Goes silent after so many words of this turn. */
export const hangAfter = (words: number) => `[[hang-after: ${words}]]`;

/** Breaks the connection after so many words of this turn. */
export const cutAfter = (words: number) => `[[cut-after: ${words}]]`;

/** Answers with an HTTP error; with `times`, only so often. */
export const status = (code: number, options: { retryAfter?: number; times?: number } = {}) => {
  const retryAfter = options.retryAfter === undefined ? "" : `, retry-after: ${options.retryAfter}`;
  const times = options.times === undefined ? "" : `, times: ${options.times}`;
  return `[[status: ${code}${retryAfter}${times}]]`;
};

/** A word that no other run has used: what carries it came from this test. */
export function randomWord(): string {
  const letters = crypto.getRandomValues(new Uint8Array(10));
  return Array.from(letters, (letter) => String.fromCharCode(97 + (letter % 26))).join("");
}
