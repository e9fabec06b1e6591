import { screen, waitFor, within } from "@testing-library/react";
import { beforeEach, expect, it } from "vitest";
import { page, problem, route } from "../../../test/network";
import { show } from "../../../test/page";
import type { Finding, System, SystemStatus, User } from "../../api/types";
import SystemPage, { bytes } from "./system";

const ana: User = { id: "usr_1", username: "ana", role: "admin", created_at: "2026-01-02T10:00:00.000Z", disabled_at: null };

const system: System = {
  version: "0.1.0",
  opencode: { state: "ready", version: "1.18.33", detail: null, downloaded: null, total: null },
  sandbox: { state: "active", detail: "Each agent is locked into its own project." },
  unsandboxed_warning: false,
  encrypted: true,
  preview: { mode: "host" },
  data_dir: "/var/lib/doce",
};

const MB = 1024 * 1024;

const status: SystemStatus = {
  started_at: "2026-01-02T10:00:00.000Z",
  database: { kind: "SQLite", version: "3.51.0", bytes: 4 * MB },
  runtime: { kind: "process", sandbox: "/usr/bin/bwrap", memory_ceiling: true, process_ceiling: false },
  tools: [
    { name: "node", version: "24.1.0" },
    { name: "npm", version: null },
  ],
  agents: { running: 1, starting: 0, waiting: 2, most: 3, memory_total: 8192 * MB, memory_available: 2048 * MB },
  queue: { due: 1, later: 0, waiting: 2, running: 0, oldest_due_seconds: 75 },
  disk: { free: 51_200 * MB, total: 102_400 * MB },
  projects: [
    { id: "prj_1", name: "Bakery", owner: "ana", memory: 412 * MB, disk: 300 * MB, disk_at_least: false },
    { id: "prj_2", name: null, owner: "bob", memory: null, disk: 2048 * MB, disk_at_least: true },
  ],
  measured_at: "2026-01-02T10:00:00.000Z",
};

const findings: Finding[] = [
  { check: "git", health: "ok", text: "/usr/bin/git is there", repair: null },
  { check: "npm", health: "warning", text: "npm is not installed", repair: "sudo apt-get install nodejs npm" },
  { check: "disk", health: "problem", text: "only 0.2 GiB are free", repair: "du -xh /var/lib/doce | sort -h | tail" },
];

beforeEach(() => {
  route("get", "/api/me", { json: ana });
  route("get", "/api/system", { json: system });
  route("get", "/api/system/status", { json: status });
  route("get", "/api/system/doctor", page(findings));
});

it("an_admin_sees_versions_room_and_what_each_project_takes", async () => {
  show(<SystemPage />);
  expect(await screen.findByText("SQLite 3.51.0, 4.0 MB")).toBeTruthy();
  expect(screen.getByText("1.18.33, ready")).toBeTruthy();
  expect(screen.getByText("24.1.0")).toBeTruthy();
  expect(screen.getByText(/not found: previews/)).toBeTruthy();
  const runtime = screen.getByText("Runtime").nextSibling;
  expect(runtime?.textContent).toBe("Processes of this machine, locked in by /usr/bin/bwrapThe kernel holds the ceiling on their memory, and takes none on their number.");
  expect(screen.getByText("2 waiting for room", { exact: false })).toBeTruthy();
  expect(screen.getByText("2.0 GB free of 8.0 GB")).toBeTruthy();
  expect(screen.getByText("the oldest has been due for 1 min 15 s", { exact: false })).toBeTruthy();
  const projects = within(screen.getByRole("list", { name: "What each project takes" })).getAllByRole("listitem");
  expect(projects[0]?.textContent).toBe("Bakery412 MB of memory300 MB on the disk");
  expect(projects[1]?.textContent).toBe("A project of bobnothing runsmore than 2.0 GB on the disk");
});

it("what_is_wrong_comes_first_with_the_command_that_repairs_it", async () => {
  show(<SystemPage />);
  const found = within(await screen.findByRole("list", { name: "Findings" })).getAllByRole("listitem");
  expect(found.map((each) => each.textContent?.split(":")[0])).toEqual(["Problem", "Warning", "Fine"]);
  expect(within(found[0]!).getByText("du -xh /var/lib/doce | sort -h | tail")).toBeTruthy();
  expect(within(found[0]!).getByRole("button", { name: "Copy what repairs disk" })).toBeTruthy();
  expect(within(found[2]!).queryByRole("button")).toBeNull();
});

it("looking_again_asks_again", async () => {
  let running = 1;
  route("get", "/api/system/status", () => ({ json: { ...status, agents: { ...status.agents, running } } }));
  const { user } = show(<SystemPage />);
  await screen.findByText(/1 running/);
  running = 2;
  await user.click(screen.getByRole("button", { name: "Look again" }));
  expect(await screen.findByText(/2 running/)).toBeTruthy();
});

it("without_projects_and_jobs_it_says_so", async () => {
  const queue = { due: 0, later: 0, waiting: 0, running: 0, oldest_due_seconds: 0 };
  route("get", "/api/system/status", { json: { ...status, projects: [], queue, disk: null } });
  show(<SystemPage />);
  expect(await screen.findByText("There is no project yet.")).toBeTruthy();
  expect(screen.getByText("nothing to do")).toBeTruthy();
  expect(screen.queryByText("Disk")).toBeNull();
});

it("a_failure_says_its_reference_and_can_be_tried_again", async () => {
  let fails = true;
  route("get", "/api/system/status", () => (fails ? problem(500, "internal", "Something failed inside the server.") : { json: status }));
  const { user } = show(<SystemPage />);
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toContain("Something failed inside the server.");
  expect(alert.textContent).toContain("Reference req_1");
  expect(within(alert).getByRole("button", { name: "Copy the reference" })).toBeTruthy();
  fails = false;
  await user.click(within(alert).getByRole("button", { name: "Try again" }));
  await waitFor(() => expect(screen.queryByRole("alert")).toBeNull());
  expect(await screen.findByRole("list", { name: "What each project takes" })).toBeTruthy();
});

it("a_member_is_told_that_it_is_for_admins_and_nothing_is_asked", async () => {
  route("get", "/api/me", { json: { ...ana, role: "member" } });
  const asked = route("get", "/api/system/status", { json: status });
  show(<SystemPage />);
  expect(await screen.findByText("This page is for admins.")).toBeTruthy();
  expect(asked).toHaveLength(0);
});

it("bytes_are_read_as_a_person_says_them", () => {
  expect([0, 999, 1536, 412 * MB, 1024 * MB, 1.5 * 1024 * MB].map(bytes)).toEqual(["0 B", "999 B", "1.5 KB", "412 MB", "1.0 GB", "1.5 GB"]);
});
