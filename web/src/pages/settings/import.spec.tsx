import { screen, waitFor, within } from "@testing-library/react";
import { beforeEach, expect, it } from "vitest";
import { page, problem, route } from "../../../test/network";
import { show } from "../../../test/page";
import type { ImportLine, ImportPreview, ImportRun, Imports } from "../../api/types";
import { applyEvents } from "../../stream/cache";
import Import from "./import";

const AT = "2026-01-02T10:00:00.000Z";
const LINES: ImportLine[] = [
  { outcome: "new", kind: "user", name: "berta", detail: "member" },
  { outcome: "already", kind: "key", name: "groq", detail: "is connected as `main`" },
  { outcome: "refused", kind: "project", name: "Shop", detail: "its path leads out of the directory" },
];
const imports = (more: Partial<Imports> = {}): Imports => ({ directories: [], opencode_file: null, run: null, ...more });
const preview = (more: Partial<ImportPreview> = {}): ImportPreview => ({ title: "doce.dev (H6) in /srv/doce/data", changes: true, people: ["berta"], lines: LINES, ...more });
const aRun = (more: Partial<ImportRun> = {}): ImportRun => ({ title: "doce.dev (H6) in /srv/doce/data", began_at: AT, ended_at: null, done: 1, total: 3, doing: "project Shop", lines: [], ...more });
const account = (username: string, role = "admin") => ({ id: `usr_${username}`, username, role, created_at: AT });

beforeEach(() => {
  route("get", "/api/me", { json: account("ana") });
  route("get", "/api/users", page([account("ana")]));
});

it("a_typed_directory_is_shown_first_and_then_brought_over_with_what_was_chosen", async () => {
  let state = imports();
  route("get", "/api/imports", () => ({ json: state }));
  const looked = route("post", "/api/imports/preview", { json: preview() });
  const begun = route("post", "/api/imports", () => {
    state = imports({ run: aRun() });
    return { status: 202, json: aRun() };
  });
  const { user, cache } = show(<Import />);
  await user.type(await screen.findByLabelText("Directory on the server"), "/srv/doce{Enter}");
  expect(await screen.findByText("1 comes over, 1 is here already, 1 needs a look. Nothing has changed yet.")).toBeTruthy();
  const lines = within(screen.getByRole("list", { name: "What would become of everything" })).getAllByRole("listitem");
  expect(lines.map((line) => line.textContent)).toEqual(["comes overuser bertamember", "is here alreadykey groqis connected as `main`", "refusedproject Shopits path leads out of the directory"]);
  await screen.findByRole("option", { name: "ana" });
  await user.selectOptions(screen.getByLabelText("What is berta’s goes to"), "ana");
  await waitFor(() => expect(looked.at(-1)?.body).toEqual({ from: "doce_dev", directory: "/srv/doce", into: { berta: "ana" } }));
  await waitFor(() => expect(screen.getByRole("button", { name: "Bring it over" })).toHaveProperty("disabled", false));
  await user.click(screen.getByRole("button", { name: "Bring it over" }));
  expect(await screen.findByRole("progressbar", { name: "Brought over" })).toBeTruthy();
  expect(begun.map(({ body }) => body)).toEqual([{ from: "doce_dev", directory: "/srv/doce", into: { berta: "ana" } }]);

  // The stream tells how it goes; what became of each thing is read at the end.
  applyEvents(cache, [{ id: "", type: "import", import: aRun({ done: 2 }) }]);
  await waitFor(() => expect(screen.getByRole("status").textContent).toBe("2 of 3 · project Shop"));
  state = imports({ run: aRun({ ended_at: AT, done: 3, doing: null, lines: LINES }) });
  applyEvents(cache, [{ id: "", type: "import", import: aRun({ ended_at: AT, done: 3, doing: null }) }]);
  expect(await screen.findByText("1 came over, 1 is here already, 1 needs a look.")).toBeTruthy();
  expect(screen.getByRole("list", { name: "What became of everything" })).toBeTruthy();
  expect(screen.getByLabelText("Directory on the server")).toBeTruthy();
});

it("what_lies_beside_doce_is_offered_and_nothing_is_looked_at_by_itself", async () => {
  route("get", "/api/imports", { json: imports({ directories: ["/srv/old"], opencode_file: "/home/doce/.local/share/opencode/auth.json" }) });
  const looked = route("post", "/api/imports/preview", { json: preview({ changes: false, people: [], lines: [] }) });
  const { user } = show(<Import />);
  expect(await screen.findByText("/srv/old")).toBeTruthy();
  expect(looked).toEqual([]);
  const [beside, opencode] = screen.getAllByRole("button", { name: "See what would come over" });
  await user.click(beside!);
  expect(await screen.findByText("There is nothing left to bring over.")).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Bring it over" })).toBeNull();
  await user.click(screen.getByRole("button", { name: "Back" }));
  await user.click(screen.getAllByRole("button", { name: "See what would come over" })[1] ?? opencode!);
  await waitFor(() => expect(looked.map(({ body }) => body)).toEqual([
    { from: "doce_dev", directory: "/srv/old", into: {} },
    { from: "opencode", into: {} },
  ]));
});

it("a_directory_that_is_none_is_told_at_its_field_and_anything_else_above", async () => {
  route("get", "/api/imports", { json: imports() });
  route("post", "/api/imports/preview", problem(422, "invalid", "doce.dev was not here.", { field: "directory" }));
  const { user } = show(<Import />);
  const field = await screen.findByLabelText("Directory on the server");
  await user.type(field, "/tmp{Enter}");
  expect((await screen.findByRole("alert")).textContent).toBe("doce.dev was not here.");
  expect(field.getAttribute("aria-invalid")).toBe("true");
  route("post", "/api/imports/preview", problem(409, "import_in_use", "doce.dev still writes to its database. Stop it first.", { hint: "Try again." }));
  await user.type(field, "{Enter}");
  await waitFor(() => expect(screen.getByRole("alert").textContent).toContain("Stop it first."));
  expect(field.getAttribute("aria-invalid")).toBeNull();
});

it("one_that_is_under_way_is_found_again_after_a_reload", async () => {
  route("get", "/api/imports", { json: imports({ run: aRun() }) });
  show(<Import />);
  expect((await screen.findByRole("status")).textContent).toBe("1 of 3 · project Shop");
  expect(screen.getByRole("progressbar").getAttribute("aria-valuenow")).toBe("1");
  expect(screen.queryByLabelText("Directory on the server")).toBeNull();
});

it("a_member_is_told_that_an_admin_does_it", async () => {
  route("get", "/api/me", { json: account("bob", "member") });
  show(<Import />);
  expect(await screen.findByText("Only an admin can bring something over")).toBeTruthy();
  expect(screen.queryByLabelText("Directory on the server")).toBeNull();
});

it("what_can_not_be_read_is_tried_again", async () => {
  route("get", "/api/imports", problem(500, "internal", "internal error"));
  const { user } = show(<Import />);
  expect(await screen.findByText("internal error")).toBeTruthy();
  route("get", "/api/imports", { json: imports() });
  await user.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByLabelText("Directory on the server")).toBeTruthy();
});
