import { createContext } from "preact";
import { useContext } from "preact/hooks";

import type { Connection } from "../connection/connection";
import type { PictureCache } from "./pictures";
import type { Text } from "./messages";

export interface AppState {
  connection: Connection;
  pictures: PictureCache;
  text: Text;
  /** Shows a message and reads it aloud. */
  notify(message: string): void;
  /** Shows the error, or asks for a token. */
  fail(error: unknown): void;
}

export const AppContext = createContext<AppState | undefined>(undefined);

export function useApp(): AppState {
  const app = useContext(AppContext);
  if (app === undefined) throw new Error("AppContext is missing");
  return app;
}
