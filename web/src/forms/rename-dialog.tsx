import type { UseMutationResult } from "@tanstack/react-query";
import { useState, type SubmitEvent } from "react";
import { asApiError } from "../api/client";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Field, Input } from "../ui/input";

type Props = {
  title: string;
  label: string;
  hint?: string;
  value: string;
  mutation: UseMutationResult<unknown, Error, string>;
  onClose: () => void;
};

/** Asks for one short text. */
export function RenameDialog({ title, label, hint, value, mutation, onClose }: Props) {
  const [text, setText] = useState(value);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const wanted = text.trim();
    if (wanted === value) onClose();
    else if (wanted !== "") mutation.mutate(wanted);
  };
  return (
    <Dialog open onClose={onClose} title={title} width="sm">
      <form onSubmit={submit}>
        <DialogBody>
          <Field label={label} hint={hint} error={mutation.error ? asApiError(mutation.error).message : undefined}>
            {(control) => <Input {...control} autoFocus autoComplete="off" onFocus={(event) => event.target.select()} value={text} onChange={(event) => setText(event.target.value)} />}
          </Field>
        </DialogBody>
        <DialogFooter>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={mutation.isPending} disabled={text.trim() === ""}>
            Save
          </Button>
        </DialogFooter>
      </form>
    </Dialog>
  );
}
