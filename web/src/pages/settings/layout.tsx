import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { Activity, Cpu, KeyRound, ListChecks, PackageOpen, ScrollText, UserRound, UsersRound, Vault } from "lucide-react";
import { useEffect, useRef } from "react";
import { meQuery } from "../../api/session";
import { Header } from "../../components/header";

const LINK = "flex h-8 shrink-0 items-center gap-2 rounded-md px-2.5 text-sm text-muted transition-colors hover:bg-hover hover:text-text [&>svg]:size-4";
const ACTIVE = { className: "bg-hover font-medium !text-text" };

export default function SettingsLayout() {
  const { data: me } = useQuery(meQuery);
  const places = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  useEffect(() => {
    // On a phone the row of places is wider than the screen.
    places.current?.querySelector('[aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [pathname, me]);
  return (
    <>
      <Header />
      <main className="min-h-0 flex-1 overflow-y-auto">
        <div className="mx-auto grid w-full max-w-[68rem] gap-x-10 gap-y-6 px-4 pt-6 pb-16 sm:px-6 sm:pt-10 md:grid-cols-[10rem_minmax(0,1fr)]">
          <nav ref={places} aria-label="Settings" className="-mx-4 flex gap-1 overflow-x-auto px-4 sm:-mx-6 sm:px-6 md:mx-0 md:flex-col md:overflow-visible md:px-0">
            <h2 className="hidden px-2.5 pb-2 text-xs text-faint md:block">Settings</h2>
            <Link to="/settings/providers" className={LINK} activeProps={ACTIVE}>
              <KeyRound aria-hidden />
              Providers
            </Link>
            <Link to="/settings/models" className={LINK} activeProps={ACTIVE}>
              <Cpu aria-hidden />
              Models
            </Link>
            <Link to="/settings/jobs" className={LINK} activeProps={ACTIVE}>
              <ListChecks aria-hidden />
              Jobs
            </Link>
            <Link to="/settings/audit" className={LINK} activeProps={ACTIVE}>
              <ScrollText aria-hidden />
              Audit
            </Link>
            <Link to="/settings/keys" className={LINK} activeProps={ACTIVE}>
              <Vault aria-hidden />
              Keys and backup
            </Link>
            {me?.role === "admin" && (
              <>
                <Link to="/settings/import" className={LINK} activeProps={ACTIVE}>
                  <PackageOpen aria-hidden />
                  Import
                </Link>
                <Link to="/settings/people" className={LINK} activeProps={ACTIVE}>
                  <UsersRound aria-hidden />
                  People
                </Link>
                <Link to="/settings/system" className={LINK} activeProps={ACTIVE}>
                  <Activity aria-hidden />
                  System
                </Link>
              </>
            )}
            <Link to="/settings/account" className={LINK} activeProps={ACTIVE}>
              <UserRound aria-hidden />
              Account
            </Link>
          </nav>
          <div className="min-w-0">
            <Outlet />
          </div>
        </div>
      </main>
    </>
  );
}
