import { getRouteApi } from "@tanstack/react-router";
import { Entry } from "../components/entry";
import { SignInForm } from "../forms/sign-in";

const route = getRouteApi("/sign-in");

export default function SignInPage() {
  const { next } = route.useSearch();
  return (
    <Entry title="Sign in" lead="to your projects on this server." foot="Forgot your password? The person who runs this server can reset it with doce user reset-password.">
      <SignInForm next={next ?? "/"} />
    </Entry>
  );
}
