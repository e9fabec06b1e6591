import { useQuery } from "@tanstack/react-query";
import { Search } from "lucide-react";
import { useState } from "react";
import { connectionsQuery, projectsQuery } from "../api/queries";
import type { Project } from "../api/types";
import { Header } from "../components/header";
import { KeyAgeNotice } from "../components/key-age-notice";
import { PageError } from "../components/page-error";
import { ProjectCard } from "../components/project-card";
import { CreateProjectForm } from "../forms/create-project";
import { Kbd } from "../ui/kbd";
import { Segmented } from "../ui/segmented";
import { Skeleton } from "../ui/skeleton";

type Order = "active" | "name";
/** With fewer projects than this, nobody needs a search. */
const SEARCH_FROM = 4;

export default function Dashboard() {
  return (
    <>
      <title>doce</title>
      <Header />
      <main className="min-h-0 flex-1 overflow-y-auto">
        <div className="stack mx-auto w-full max-w-[68rem] gap-12 px-4 pt-[clamp(2rem,9vh,6rem)] pb-16 sm:px-6">
          <section className="stack mx-auto w-full max-w-[42rem] gap-5">
            <h1 className="text-center text-2xl font-semibold tracking-tight">What are you building?</h1>
            <CreateProjectForm />
            <KeyAgeNotice />
          </section>
          <Projects />
        </div>
      </main>
    </>
  );
}

function Projects() {
  const { data: projects, error, refetch, isPending } = useQuery(projectsQuery);
  const { data: connections } = useQuery(connectionsQuery);
  const [search, setSearch] = useState("");
  const [order, setOrder] = useState<Order>("active");

  if (isPending) return <Loading />;
  if (projects === undefined) return <PageError error={error} onRetry={() => void refetch()} />;
  if (projects.length === 0) {
    return (
      <section className="mx-auto grid max-w-md gap-1 rounded-lg border border-dashed border-line-strong px-6 py-8 text-center">
        <h2 className="font-medium">No projects yet</h2>
        <p className="text-muted">
          {connections?.length === 0
            ? "Connect a provider, describe an app, and press Create. It stands here from then on."
            : "Describe an app above and press Create. It stands here from then on."}
        </p>
      </section>
    );
  }
  const shown = arrange(projects, search, order);
  return (
    <section className="grid gap-3" aria-labelledby="projects">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
        <h2 id="projects" className="text-base font-semibold">
          Projects
        </h2>
        <span className="text-xs text-faint tabular-nums" aria-live="polite">
          {shown.length === projects.length ? projects.length : `${shown.length} of ${projects.length}`}
        </span>
        {projects.length >= SEARCH_FROM && (
          <div className="ml-auto flex w-full items-center gap-2 sm:w-auto">
            <label className="flex h-8 min-w-0 flex-1 items-center gap-2 rounded-md border border-line bg-field px-2 text-faint focus-within:border-edge sm:h-7 sm:w-56">
              <Search className="size-3.5 shrink-0" aria-hidden />
              <input
                type="search"
                data-page-search
                aria-label="Search projects"
                placeholder="Search"
                className="min-w-0 flex-1 bg-transparent text-base text-text outline-none placeholder:text-faint sm:text-sm [&::-webkit-search-cancel-button]:hidden"
                value={search}
                onChange={(event) => setSearch(event.target.value)}
                onKeyDown={(event) => {
                  if (event.key === "Escape") {
                    setSearch("");
                    event.currentTarget.blur();
                  }
                }}
              />
              <span className="hidden sm:inline" aria-hidden>
                <Kbd>/</Kbd>
              </span>
            </label>
            <Segmented
              label="Order"
              value={order}
              onChange={setOrder}
              options={[
                { value: "active", label: "Last active" },
                { value: "name", label: "Name" },
              ]}
            />
          </div>
        )}
      </div>
      {shown.length === 0 ? (
        <p className="rounded-lg border border-dashed border-line-strong px-6 py-8 text-center text-muted">No project matches “{search}”.</p>
      ) : (
        <ul className="grid gap-3 sm:grid-cols-2 lg:grid-cols-3">
          {shown.map((project) => (
            <ProjectCard key={project.id} project={project} />
          ))}
        </ul>
      )}
    </section>
  );
}

export function arrange(projects: Project[], search: string, order: Order): Project[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = projects.filter((project) => words.every((word) => project.name.toLowerCase().includes(word)));
  return found.sort((a, b) => (order === "name" ? a.name.localeCompare(b.name) : b.last_active_at.localeCompare(a.last_active_at)));
}

function Loading() {
  return (
    <section aria-busy aria-label="Reading your projects" className="grid gap-3">
      <h2 className="text-base font-semibold">Projects</h2>
      <div className="grid gap-3 sm:grid-cols-2 lg:grid-cols-3">
        {[0, 1, 2].map((key) => (
          <Skeleton key={key} className="h-[170px]" />
        ))}
      </div>
    </section>
  );
}
