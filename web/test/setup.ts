// What every test starts from: no storage, no page, and a network that answers only what the test says.
import { cleanup, configure } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, vi } from "vitest";
import { network } from "./network";

// Pages are loaded when they are visited, and a busy machine takes its time over that.
configure({ asyncUtilTimeout: 8_000 });

// jsdom has no layout and no media queries.
vi.stubGlobal("matchMedia", (query: string) => ({ matches: false, media: query, addEventListener: () => {}, removeEventListener: () => {} }));
vi.stubGlobal(
  "ResizeObserver",
  class {
    observe() {}
    unobserve() {}
    disconnect() {}
  },
);
vi.stubGlobal("scrollTo", () => {});
Element.prototype.scrollIntoView = () => {};
Element.prototype.hasPointerCapture = () => false;

beforeAll(() => network.listen({ onUnhandledRequest: "error" }));
afterEach(() => {
  cleanup();
  network.resetHandlers();
  localStorage.clear();
  sessionStorage.clear();
});
afterAll(() => network.close());
