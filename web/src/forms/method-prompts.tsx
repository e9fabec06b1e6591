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

/** Keeps the answers to a method's prompts; a choice begins with its first option. */
export function useAnswers(prompts: MethodPrompt[]) {
  const [answers, setAnswers] = useState<Record<string, string>>(() => Object.fromEntries(prompts.filter((prompt) => prompt.kind === "select").map((prompt) => [prompt.key, prompt.options[0]?.value ?? ""])));
  return { answers, asked: applicable(prompts, answers), answer: (key: string, value: string) => setAnswers((before) => ({ ...before, [key]: value })) };
}

export function PromptField({ prompt, value, error, onChange }: { prompt: MethodPrompt; value: string; error: string | undefined; onChange: (value: string) => void }) {
  const chosen = prompt.options.find((option) => option.value === value);
  // OpenCode marks what may stay empty in the words of the question only.
  const optional = /\(optional\)/i.test(prompt.message);
  return (
    <Field label={prompt.message} error={error} hint={chosen?.hint}>
      {(control) =>
        prompt.kind === "select" ? (
          <NativeSelect {...control} value={value} onChange={(event) => onChange(event.target.value)}>
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
