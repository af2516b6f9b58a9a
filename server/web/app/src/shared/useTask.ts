import { useState } from "preact/hooks";

import { useApp } from "./context";

/** Returns whether a task runs, and a function that runs one and shows its error. */
export function useTask(): [boolean, (task: () => Promise<void>) => Promise<void>] {
  const { fail } = useApp();
  const [busy, setBusy] = useState(false);
  const run = async (task: () => Promise<void>) => {
    setBusy(true);
    try {
      await task();
    } catch (error) {
      fail(error);
    } finally {
      setBusy(false);
    }
  };
  return [busy, run];
}
