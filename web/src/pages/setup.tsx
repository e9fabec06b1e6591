import { getRouteApi } from "@tanstack/react-router";
import { Entry } from "../components/entry";
import { SetUpAccountForm } from "../forms/set-up-account";

const route = getRouteApi("/setup");

export default function SetupPage() {
  const { health } = route.useRouteContext();
  return (
    <Entry
      title="Welcome to doce"
      lead="Describe an app and watch an agent build it, on this machine, with your own model providers. Make the first account to begin."
      foot={`doce ${health.version}. This account is the admin. It stays on this server.`}
    >
      <SetUpAccountForm codeRequired={health.setup_code_required} />
    </Entry>
  );
}
