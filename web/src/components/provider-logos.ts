// Which provider has which mark. Loaded when the first provider is shown, so that no page waits for it; a mark is a file
// of its own that the browser fetches when it shows it, but for those of the providers that most people connect: for one
// of them a request would cost more than its few hundred bytes.
const COMMON = import.meta.glob<string>("./logos/{anthropic,google,groq,mistral,openai,opencode,openrouter,xai}.svg", { query: "?inline", import: "default", eager: true });
const FILES = import.meta.glob<string>(["./logos/*.svg", "!./logos/{anthropic,google,groq,mistral,openai,opencode,openrouter,xai}.svg"], { query: "?url", import: "default", eager: true });

/** Providers that are one company's under several ids, by the id that the mark's file is called by. */
const SAME: Record<string, string> = {
  "alibaba-cn": "alibaba",
  "alibaba-coding-plan": "alibaba",
  "alibaba-coding-plan-cn": "alibaba",
  "alibaba-token-plan": "alibaba",
  "alibaba-token-plan-cn": "alibaba",
  "azure-cognitive-services": "azure",
  "google-vertex-anthropic": "google-vertex",
  "kimi-code-plan-global": "kimi-code-plan-cn",
  "lm-studio": "lmstudio",
  meta: "llama",
  "minimax-cn": "minimax",
  "minimax-cn-coding-plan": "minimax",
  "minimax-coding-plan": "minimax",
  "moonshotai-cn": "moonshotai",
  "ollama-cloud": "ollama",
  "opencode-go": "opencode",
  "perplexity-agent": "perplexity",
  "siliconflow-cn": "siliconflow",
  "stepfun-ai": "stepfun",
  "stepfun-ai-step-plan": "stepfun",
  "stepfun-step-plan": "stepfun",
  "tencent-coding-plan": "tencent-tokenhub",
  "tencent-token-plan": "tencent-tokenhub",
  "volcengine-coding-plan": "volcengine",
  "xiaomi-token-plan-ams": "xiaomi",
  "xiaomi-token-plan-cn": "xiaomi",
  "xiaomi-token-plan-sgp": "xiaomi",
  "zai-coding-plan": "zai",
  "zhipuai-coding-plan": "zhipuai",
};

/** The address of a provider's mark, if there is one. */
export function logoOf(id: string): string | undefined {
  const file = `./logos/${Object.hasOwn(SAME, id) ? SAME[id] : id}.svg`;
  return COMMON[file] ?? FILES[file];
}
