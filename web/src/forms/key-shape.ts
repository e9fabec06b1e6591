// Which provider a pasted key is for, told by its shape alone, in the browser: the key goes nowhere for this.

/** What keys begin with, and the providers whose keys do, the likeliest first. A longer beginning comes before a shorter one. */
const SHAPES: readonly (readonly [prefix: string, providers: readonly string[]])[] = [
  ["sk-ant-", ["anthropic"]],
  ["sk-or-", ["openrouter"]],
  ["sk-proj-", ["openai"]],
  ["sk-svcacct-", ["openai"]],
  ["sk-", ["openai", "deepseek", "moonshotai", "opencode", "opencode-go", "alibaba", "siliconflow"]],
  ["AIza", ["google"]],
  ["gsk_", ["groq"]],
  ["xai-", ["xai"]],
  ["hf_", ["huggingface"]],
  ["csk-", ["cerebras"]],
  ["fw_", ["fireworks-ai"]],
  ["tgp_v1_", ["togetherai"]],
  ["pplx-", ["perplexity", "perplexity-agent"]],
  ["nvapi-", ["nvidia"]],
  ["vck_", ["vercel"]],
  ["glpat-", ["gitlab"]],
  ["ABSK", ["amazon-bedrock"]],
];

/** As short as no name of a provider is long. */
const SHORTEST_KEY = 20;
const KEY = /^[A-Za-z0-9_\-.:+/=]+$/;

/** Whether a text is a key rather than something one searches for. */
export function looksLikeKey(text: string): boolean {
  const word = unquoted(text);
  if (word.length < SHORTEST_KEY || !KEY.test(word)) return false;
  return SHAPES.some(([prefix]) => word.startsWith(prefix)) || (/\d/.test(word) && /[A-Za-z]/.test(word) && !word.includes("://"));
}

/** The providers that a key of this shape may be for; none if its shape says nothing. */
export function providersOfKey(text: string): readonly string[] {
  const word = unquoted(text);
  return SHAPES.find(([prefix]) => word.startsWith(prefix))?.[1] ?? [];
}

/** A key as it was copied may have quotes, and the name of its variable, around it. */
export function unquoted(text: string): string {
  return text
    .trim()
    .replace(/^(?:export\s+)?[A-Z][A-Z0-9_]*\s*=\s*/, "")
    .replace(/^(["'`])(.*)\1$/, "$2");
}
