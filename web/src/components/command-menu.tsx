import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Activity, Box, Cpu, KeyRound, LayoutGrid, ListChecks, LogOut, PackageOpen, Plug, ScrollText, SunMoon, UserRound, UsersRound, Vault } from "lucide-react";
import { useState, type ReactNode } from "react";
import { projectsQuery } from "../api/queries";
import { meQuery } from "../api/session";
import { Dialog } from "../ui/dialog";
import { FilterList } from "../ui/filter-list";
import { openDialog } from "./dialogs";
import { RelativeTime } from "./relative-time";
import { signOut } from "./sign-out";
import { StateWord } from "./state-word";
import { toggleTheme } from "./theme";
import { useGo } from "./use-go";

type Command = { id: string; label: string; icon: ReactNode; note?: ReactNode; run: () => void };

export default function CommandMenu({ onClose }: { onClose: () => void }) {
  const [query, setQuery] = useState("");
  const navigate = useNavigate();
  const go = useGo();
  const { data: projects } = useQuery(projectsQuery);
  const { data: me } = useQuery(meQuery);

  const matches = ({ label }: { label: string }) =>
    query
      .toLowerCase()
      .split(/\s+/)
      .filter(Boolean)
      .every((word) => label.toLowerCase().includes(word));
  const forAdmins: Command[] = [
    { id: "import", label: "Settings: import", icon: <PackageOpen aria-hidden />, run: () => go("/settings/import") },
    { id: "people", label: "Settings: people", icon: <UsersRound aria-hidden />, run: () => go("/settings/people") },
    { id: "system", label: "Settings: system", icon: <Activity aria-hidden />, run: () => go("/settings/system") },
  ];
  const places: Command[] = [
    { id: "new", label: "New project", icon: <LayoutGrid aria-hidden />, run: () => go("/") },
    { id: "connect", label: "Connect a provider", icon: <Plug aria-hidden />, run: () => openDialog({ kind: "connect-provider" }) },
    { id: "providers", label: "Settings: providers", icon: <KeyRound aria-hidden />, run: () => go("/settings/providers") },
    { id: "models", label: "Settings: models", icon: <Cpu aria-hidden />, run: () => go("/settings/models") },
    { id: "jobs", label: "Settings: jobs", icon: <ListChecks aria-hidden />, run: () => go("/settings/jobs") },
    { id: "audit", label: "Settings: audit", icon: <ScrollText aria-hidden />, run: () => go("/settings/audit") },
    { id: "keys", label: "Settings: keys and backup", icon: <Vault aria-hidden />, run: () => go("/settings/keys") },
    ...(me?.role === "admin" ? forAdmins : []),
    { id: "account", label: "Settings: account", icon: <UserRound aria-hidden />, run: () => go("/settings/account") },
    { id: "theme", label: "Light or dark theme", icon: <SunMoon aria-hidden />, run: toggleTheme },
    { id: "sign-out", label: "Sign out", icon: <LogOut aria-hidden />, run: () => void signOut() },
  ];
  const found: Command[] = [...(projects ?? [])]
    .sort((a, b) => b.last_active_at.localeCompare(a.last_active_at))
    .map((project) => ({
      id: project.id,
      label: project.name,
      icon: <Box aria-hidden />,
      note: (
        <>
          <StateWord project={project} />
          <RelativeTime at={project.last_active_at} className="w-20 text-right text-faint" />
        </>
      ),
      run: () => void navigate({ to: "/projects/$id", params: { id: project.id } }),
    }));

  return (
    <Dialog open onClose={onClose} title="Command menu" bare width="md">
      <FilterList
        label="Commands"
        placeholder="Go to a project, or do something"
        query={query}
        onQuery={setQuery}
        groups={[
          { label: "Projects", items: found.filter(matches).slice(0, query === "" ? 6 : 30) },
          { label: "Do", items: places.filter(matches) },
        ]}
        itemKey={(command) => command.id}
        onPick={(command) => {
          onClose();
          command.run();
        }}
        renderItem={(command) => (
          <>
            <span className="text-faint [&>svg]:size-4">{command.icon}</span>
            <span className="min-w-0 flex-1 truncate">{command.label}</span>
            <span className="flex shrink-0 items-center gap-2 text-xs">{command.note}</span>
          </>
        )}
        empty={`Nothing matches “${query}”.`}
      />
    </Dialog>
  );
}
