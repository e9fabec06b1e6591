import { render, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { logoOf } from "./provider-logos";
import { ProviderMark } from "./provider-mark";

it("a_provider_has_its_letter_until_its_mark_is_there_and_for_good_without_one", async () => {
  const { container } = render(
    <>
      <ProviderMark id="anthropic" name="Anthropic" />
      <ProviderMark id="zhipuai-coding-plan" name="Zhipu AI Coding Plan" />
      <ProviderMark id="custom-bakery" name="Bakery" />
      <ProviderMark id="constructor" name="…" />
    </>,
  );
  expect(container.textContent).toBe("AZBc");
  await waitFor(() => expect(container.querySelectorAll(".provider-logo")).toHaveLength(2));
  expect(container.textContent).toBe("Bc");
  const [common, other] = [...container.querySelectorAll<HTMLElement>(".provider-logo")].map((mark) => mark.style.getPropertyValue("--logo"));
  expect(common).toMatch(/^url\("data:image\/svg\+xml,[^"]*"\)$/);
  expect(other).toContain("zhipuai.svg");
});

it("every_mark_is_a_plain_drawing_of_one_colour", () => {
  const files = Object.entries(import.meta.glob<string>("./logos/*.svg", { query: "?raw", import: "default", eager: true }));
  expect(files.length).toBeGreaterThan(60);
  const plain = /^<svg [^>]*viewBox="0 0 \d+ \d+"/;
  const more = /<(?:script|style|image|use|foreignObject|linearGradient)|href|on\w+=|(?:fill|stroke)="(?!currentColor|none)/;
  const odd = files.filter(([, text]) => !plain.test(text) || more.test(text)).map(([path]) => path);
  expect(odd).toEqual([]);
  const unknown = files.filter(([path]) => logoOf(path.slice("./logos/".length, -4)) === undefined);
  expect(unknown).toEqual([]);
});

it("providers_of_one_company_have_one_mark", () => {
  expect(logoOf("alibaba-token-plan-cn")).toBe(logoOf("alibaba"));
  expect(logoOf("meta")).toBe(logoOf("llama"));
  expect(logoOf("no-such-provider")).toBeUndefined();
});
