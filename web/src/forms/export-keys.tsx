import { useMutation } from "@tanstack/react-query";
import { Download } from "lucide-react";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import { Button } from "../ui/button";
import { Field, Input, SecretInput } from "../ui/input";
import { Notice } from "../ui/notice";
import { Segmented } from "../ui/segmented";
import { toast } from "../ui/toast";

const FILE = "doce-keys.age";
type For = "passphrase" | "key";

/** Downloads the keys of whoever is signed in, encrypted. */
export function ExportKeysForm({ username }: { username: string }) {
  const [kind, setKind] = useState<For>("passphrase");
  const [passphrase, setPassphrase] = useState("");
  const [again, setAgain] = useState("");
  const [recipient, setRecipient] = useState("");
  const [password, setPassword] = useState("");
  const differs = kind === "passphrase" && again !== "" && again !== passphrase;
  const download = useMutation({
    mutationFn: async () => {
      const readers = kind === "passphrase" ? { passphrase } : { recipients: recipient.split(/[\s,]+/).filter((each) => each !== "") };
      // The description says text; they are bytes.
      return (await take(api.POST("/api/keys/export", { body: { password, ...readers }, parseAs: "blob" }))) as unknown as Blob;
    },
    onSuccess: (file) => {
      for (const clear of [setPassphrase, setAgain, setPassword]) clear("");
      save(file);
      toast(`Your keys are in ${FILE}. Whoever can open it has them in clear.`);
    },
  });
  const problem = download.error === null ? null : asApiError(download.error);
  const at = (field: string) => (problem?.field === field ? problem.message : undefined);
  const elsewhere = problem && !["password", "passphrase", "recipients"].includes(problem.field ?? "");
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (!differs) download.mutate();
  };
  return (
    <form className="grid max-w-sm gap-3" onSubmit={submit}>
      <input type="text" autoComplete="username" value={username} readOnly hidden />
      <div>
        <Segmented<For>
          label="Who can open it"
          value={kind}
          onChange={setKind}
          options={[
            { value: "passphrase", label: "With a passphrase" },
            { value: "key", label: "With an age key" },
          ]}
        />
      </div>
      {kind === "passphrase" ? (
        <>
          <Field label="Passphrase of the file" error={at("passphrase")} hint="At least 12 characters. A few words in a row are long and easy to type.">
            {(control) => <SecretInput {...control} required autoComplete="off" value={passphrase} onChange={(event) => setPassphrase(event.target.value)} />}
          </Field>
          <Field label="The same once more" error={differs ? "The two are different." : undefined}>
            {(control) => <SecretInput {...control} required autoComplete="off" value={again} onChange={(event) => setAgain(event.target.value)} />}
          </Field>
        </>
      ) : (
        <Field label="Public key" error={at("recipients")} hint="age-keygen makes a pair. The public one begins with age1.">
          {(control) => <Input {...control} required spellCheck={false} autoCapitalize="off" className="font-mono" placeholder="age1…" value={recipient} onChange={(event) => setRecipient(event.target.value)} />}
        </Field>
      )}
      <Field label="Your password" error={at("password")} hint="Once more, because this takes keys out of doce. It is written in the audit log.">
        {(control) => <SecretInput {...control} required autoComplete="current-password" value={password} onChange={(event) => setPassword(event.target.value)} />}
      </Field>
      {elsewhere && (
        <Notice tone="red" role="alert" title={problem.message}>
          {problem.hint}
        </Notice>
      )}
      <div>
        <Button type="submit" busy={download.isPending} icon={<Download className="size-4" aria-hidden />}>
          Download
        </Button>
      </div>
    </form>
  );
}

function save(file: Blob): void {
  const url = URL.createObjectURL(file);
  const link = document.createElement("a");
  link.href = url;
  link.download = FILE;
  link.click();
  URL.revokeObjectURL(url);
}
