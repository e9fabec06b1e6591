import { Link, Outlet } from "@tanstack/react-router";
import { Cpu, KeyRound, ScrollText, UserRound } from "lucide-react";
import { Header } from "../../components/header";

const LINK = "flex h-8 items-center gap-2 rounded-md px-2.5 text-sm text-muted transition-colors hover:bg-hover hover:text-text [&>svg]:size-4";
const ACTIVE = { className: "bg-hover font-medium !text-text" };

export default function SettingsLayout() {
  return (
    <>
      <Header />
      <main className="min-h-0 flex-1 overflow-y-auto">
        <div className="mx-auto grid w-full max-w-[68rem] gap-x-10 gap-y-6 px-4 pt-6 pb-16 sm:px-6 sm:pt-10 md:grid-cols-[10rem_minmax(0,1fr)]">
          <nav aria-label="Settings" className="flex flex-wrap gap-1 md:flex-col">
            <h2 className="hidden px-2.5 pb-2 text-xs text-faint md:block">Settings</h2>
            <Link to="/settings/providers" className={LINK} activeProps={ACTIVE}>
              <KeyRound aria-hidden />
              Providers
            </Link>
            <Link to="/settings/models" className={LINK} activeProps={ACTIVE}>
              <Cpu aria-hidden />
              Models
            </Link>
            <Link to="/settings/audit" className={LINK} activeProps={ACTIVE}>
              <ScrollText aria-hidden />
              Audit
            </Link>
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
