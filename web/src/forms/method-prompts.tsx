// What a provider's method asks before it can be used: data of the catalogue, shown as fields.
import { useState } from "react";
import type { MethodPrompt } from "../api/types";
import { Field, Input, NativeSelect } from "../ui/input";

/** Which of a method's prompts apply to what was answered so far. */
export function applicable(prompts: MethodPrompt[], answers: Record<string, string>): MethodPrompt[] {
  return prompts.filter(({ when }) => {
    if (when === null) return true;
    const equal = (answers[when.key] ?? "") === when.value;
    return when.op === "eq" ? equal : !equal;
  });
}

/** The answer that a prompt begins with: a choice's first option, and the provider's own address where that is what is asked for. Other examples are only examples. */
export function defaultOf(prompt: MethodPrompt, providerAddress: string | null): string {
  if (prompt.kind === "select") return prompt.options[0]?.value ?? "";
  return prompt.placeholder !== null && prompt.placeholder === providerAddress ? prompt.placeholder : "";
}

/** Keeps the answers to a method's prompts. What was emptied is given as its default. */
export function useAnswers(prompts: MethodPrompt[], providerAddress: string | null) {
  const [answers, setAnswers] = useState<Record<string, string>>(() => Object.fromEntries(prompts.map((prompt) => [prompt.key, defaultOf(prompt, providerAddress)])));
  const asked = applicable(prompts, answers);
  return {
    answers,
    asked,
    answer: (key: string, value: string) => setAnswers((before) => ({ ...before, [key]: value })),
    given: () => Object.fromEntries(asked.map((prompt) => [prompt.key, (answers[prompt.key] ?? "").trim() || defaultOf(prompt, providerAddress)])),
  };
}

type PromptProps = {
  prompt: MethodPrompt;
  value: string;
  defaultAnswer: string;
  /** There is an answer already, which stays if this is left empty. */
  unchanged?: boolean;
  error: string | undefined;
  onChange: (value: string) => void;
};

export function PromptField({ prompt, value, defaultAnswer, unchanged = false, error, onChange }: PromptProps) {
  const chosen = prompt.options.find((option) => option.value === value);
  // OpenCode marks what may stay empty in the words of the question only.
  const optional = unchanged || defaultAnswer !== "" || /\(optional\)/i.test(prompt.message);
  const hint = unchanged ? "Empty: it stays as it is." : prompt.kind === "text" && defaultAnswer !== "" ? "Change it if yours is elsewhere." : undefined;
  return (
    <Field label={prompt.message} error={error} hint={chosen?.hint ?? hint}>
      {(control) =>
        prompt.kind === "select" ? (
          <NativeSelect {...control} value={value} onChange={(event) => onChange(event.target.value)}>
            {unchanged && <option value="">As it is</option>}
            {prompt.options.map((option) => (
              <option key={option.value} value={option.value}>
                {option.label}
              </option>
            ))}
          </NativeSelect>
        ) : (
          <Input {...control} required={!optional} placeholder={prompt.placeholder ?? undefined} autoComplete="off" spellCheck={false} value={value} onChange={(event) => onChange(event.target.value)} />
        )
      }
    </Field>
  );
}
