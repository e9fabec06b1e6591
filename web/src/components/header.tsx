import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ListChecks, LogOut, Moon, Search, Settings, Sun, UserRound } from "lucide-react";
import type { ReactNode } from "react";
import { liveJobsQuery } from "../api/queries";
import { meQuery } from "../api/session";
import { Kbd, MOD } from "../ui/kbd";
import { Menu, MenuItem, MenuLabel, MenuSeparator } from "../ui/menu";
import { IconButton } from "../ui/tooltip";
import { openDialog } from "./dialogs";
import { Wordmark } from "./logo";
import { useGo } from "./use-go";
import { signOut } from "./sign-out";
import { toggleTheme } from "./theme";

/** The bar on top of each page. What is between the mark and the person is the page's own. */
export function Header({ children, mark = true }: { children?: ReactNode; mark?: boolean }) {
  return (
    <header className="flex h-12 shrink-0 items-center gap-2 border-b border-line bg-bg px-3 sm:px-4">
      {mark && (
        <Link to="/" aria-label="doce, to your projects" className="flex items-center rounded-md">
          <Wordmark />
        </Link>
      )}
      {children ?? <div className="flex-1" />}
      <Jobs />
      <button
        type="button"
        onClick={() => openDialog({ kind: "command-menu" })}
        aria-label="Command menu"
        className="hidden h-7 items-center gap-2 rounded-md border border-line px-2 text-xs text-faint transition-colors hover:border-line-strong hover:text-muted md:flex"
      >
        <Search className="size-3.5" aria-hidden />
        Go to
        <Kbd>{MOD}K</Kbd>
      </button>
      <span className="hidden sm:contents">
        <IconButton label="Light or dark" size="icon-sm" onClick={toggleTheme} icon={<ThemeIcon />} />
      </span>
      <PersonMenu />
    </header>
  );
}

function ThemeIcon() {
  return (
    <>
      <Moon className="size-4 dark:hidden" aria-hidden />
      <Sun className="hidden size-4 dark:block" aria-hidden />
    </>
  );
}

/** How many jobs run and wait, in words, while any does. */
function useLiveJobs(): string | null {
  const { data: live = [] } = useQuery(liveJobsQuery);
  const running = live.filter(({ state }) => state === "running").length;
  const counted = [running > 0 && `${running} running`, live.length > running && `${live.length - running} waiting`].filter((part) => part !== false);
  return counted.length === 0 ? null : counted.join(", ");
}

function Jobs() {
  const live = useLiveJobs();
  return (
    <Link to="/settings/jobs" className="hidden h-7 items-center gap-2 rounded-md px-2 text-xs whitespace-nowrap text-muted transition-colors hover:bg-hover hover:text-text md:flex">
      Jobs
      {live !== null && (
        <span className="flex items-center gap-1.5 text-accent-text tabular-nums">
          <span className="size-1.5 rounded-[1px] bg-accent" aria-hidden />
          {live}
        </span>
      )}
    </Link>
  );
}

function PersonMenu() {
  const { data: me } = useQuery(meQuery);
  const live = useLiveJobs();
  const go = useGo();
  return (
    <Menu
      trigger={
        <button type="button" aria-label={`${me?.username ?? "You"}: menu`} className="grid size-7 shrink-0 place-content-center rounded-full border border-line-strong bg-sunken text-xs font-medium text-muted uppercase hover:text-text">
          {me?.username.slice(0, 1) ?? "·"}
        </button>
      }
    >
      <MenuLabel>{me?.username}</MenuLabel>
      <MenuItem icon={<Settings aria-hidden />} onSelect={() => go("/settings/providers")}>
        Providers
      </MenuItem>
      <MenuItem icon={<ListChecks aria-hidden />} onSelect={() => go("/settings/jobs")}>
        {live === null ? "Jobs" : `Jobs: ${live}`}
      </MenuItem>
      <MenuItem icon={<UserRound aria-hidden />} onSelect={() => go("/settings/account")}>
        Account
      </MenuItem>
      <MenuItem icon={<ThemeIcon />} onSelect={toggleTheme}>
        Light or dark
      </MenuItem>
      <MenuSeparator />
      <MenuItem icon={<LogOut aria-hidden />} onSelect={() => void signOut()}>
        Sign out
      </MenuItem>
    </Menu>
  );
}
