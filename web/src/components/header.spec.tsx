import { act, screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { page, route } from "../../test/network";
import { aJob } from "../../test/nouns";
import { show } from "../../test/page";
import { createCache } from "../api/cache";
import { keys } from "../api/queries";
import { applyEvents } from "../stream/cache";
import CommandMenu from "./command-menu";
import { Header } from "./header";

it("the_bar_on_top_counts_the_jobs_that_run_or_wait_as_the_stream_tells", async () => {
  const cache = createCache();
  cache.setQueryData(keys.liveJobs, [
    { id: "job_1", state: "running" },
    { id: "job_2", state: "queued" },
  ]);
  show(<Header />, cache);
  const jobs = await screen.findByRole("link", { name: "Jobs 1 running, 1 waiting" });
  act(() => applyEvents(cache, [{ id: "b-1", type: "job", job: aJob({ id: "job_2", state: "running" }) }]));
  await waitFor(() => expect(jobs.textContent).toBe("Jobs2 running"));
  for (const id of ["job_1", "job_2"]) act(() => applyEvents(cache, [{ id: "b-2", type: "job", job: aJob({ id, state: "succeeded" }) }]));
  await waitFor(() => expect(jobs.textContent).toBe("Jobs"));
});

it.each([
  ["member", ["Settings: keys and backup"]],
  ["admin", ["Settings: keys and backup", "Settings: import", "Settings: people", "Settings: system"]],
])("the_command_menu_leads_a_%s_to_each_page_of_the_settings_they_may_see", async (role, places) => {
  route("get", "/api/me", { json: { id: "usr_1", username: "ana", role, created_at: "2026-01-01T00:00:00.000Z" } });
  route("get", "/api/projects", page([]));
  show(<CommandMenu onClose={() => {}} />);
  const list = await screen.findByRole("listbox");
  await waitFor(() => expect(within(list).getByRole("option", { name: places.at(-1)! })).toBeTruthy());
  const named = within(list).getAllByRole("option", { name: /import|people|system|keys/ });
  expect(named.map((option) => option.textContent)).toEqual(places);
});
