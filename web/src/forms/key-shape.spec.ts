import { expect, it } from "vitest";
import { looksLikeKey, providersOfKey, unquoted } from "./key-shape";

const REST = "abcDEF0123456789abcDEF0123456789";

it.each([
  ["sk-ant-api03-", "anthropic"],
  ["sk-or-v1-", "openrouter"],
  ["sk-proj-", "openai"],
  ["gsk_", "groq"],
  ["AIza", "google"],
  ["xai-", "xai"],
  ["hf_", "huggingface"],
  ["csk-", "cerebras"],
])("a_key_that_begins_with %s tells_its_provider", (prefix, provider) => {
  expect(looksLikeKey(prefix + REST)).toBe(true);
  expect(providersOfKey(prefix + REST)).toEqual([provider]);
});

it("a_shape_that_several_providers_share_names_them_all", () => {
  expect(providersOfKey(`sk-${REST}`).slice(0, 2)).toEqual(["openai", "deepseek"]);
});

it("a_key_of_no_known_shape_is_still_a_key", () => {
  expect(looksLikeKey(REST)).toBe(true);
  expect(providersOfKey(REST)).toEqual([]);
});

it("what_one_searches_for_is_no_key", () => {
  const searches = ["anthropic", "sk-", "OpenCode Zen", "an-openai-compatible-provider", "https://api.example.com/v1/models", "the quick brown fox 1234567890", ""];
  expect(searches.filter(looksLikeKey)).toEqual([]);
});

it("what_stands_around_a_copied_key_is_taken_off", () => {
  expect(unquoted(` export GROQ_API_KEY="gsk_${REST}"\n`)).toBe(`gsk_${REST}`);
  expect(providersOfKey(`'gsk_${REST}'`)).toEqual(["groq"]);
});
