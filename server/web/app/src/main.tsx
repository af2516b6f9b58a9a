/** Starts the app: in a browser as a client of the server, in a chat through its host. */

import { render } from "preact";
import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { config } from "zod";

import { AskView } from "./ask/AskView";
import { AtlasView } from "./atlas/AtlasView";
import { ChatView } from "./chat/ChatView";
import { BridgeConnection, type HostResult } from "./connection/bridge";
import { type Connection, ToolError } from "./connection/connection";
import { HttpConnection } from "./connection/http";
import type { Collection, CollectionList } from "./connection/results";
import { ManageView } from "./manage/ManageView";
import { SearchView } from "./search/SearchView";
import { listenForPictures } from "./search/uploads";
import { AppContext, type AppState } from "./shared/context";
import { type Language, preferredLanguage, textsOf } from "./shared/messages";
import { PictureCache } from "./shared/pictures";
import { formatRoute, useRoute } from "./shared/route";
import { TokenForm } from "./shared/TokenForm";
import { ViewerView } from "./viewer/ViewerView";
import "./styles.css";

const TOKEN = "sightline-token";
const LANGUAGE = "sightline-language";
const NOTICE_MILLISECONDS = 6000;

// The policy of the page forbids code from text.
config({ jitless: true });

/** State that all views share, for one connection. */
function useAppState(connection: Connection, onToken: () => void) {
  const [language, setLanguage] = useState<Language>(
    () => (read("localStorage", LANGUAGE) as Language | null) ?? preferredLanguage(),
  );
  const [notice, setNotice] = useState("");
  const pictures = useMemo(() => new PictureCache(connection), [connection]);
  useEffect(() => {
    document.documentElement.lang = language;
    write("localStorage", LANGUAGE, language);
  }, [language]);
  useEffect(() => {
    if (!notice) return;
    const timer = setTimeout(() => setNotice(""), NOTICE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [notice]);
  const state = useMemo((): AppState => {
    const text = textsOf(language);
    return {
      connection,
      pictures,
      text,
      notify: setNotice,
      fail(error) {
        if (error instanceof ToolError && error.needsToken) onToken();
        else {
          const reason = error instanceof Error ? error.message : String(error);
          setNotice(text("failed", { reason }));
        }
      },
    };
  }, [connection, pictures, language, onToken]);
  return { state, notice, language, setLanguage };
}

function BrowserApp() {
  const [token, setToken] = useState(() => fragmentToken() ?? read("sessionStorage", TOKEN));
  const [asking, setAsking] = useState<"" | "first" | "again">("");
  const connection = useMemo(
    () => new HttpConnection(new URL(".", document.baseURI), token ?? undefined),
    [token],
  );
  const onToken = useCallback(() => setAsking(token ? "again" : "first"), [token]);
  const { state, notice, language, setLanguage } = useAppState(connection, onToken);
  const route = useRoute();
  const [collections, setCollections] = useState<Collection[]>([]);

  const load = useCallback(() => {
    connection
      .call<CollectionList>("list_collections", {})
      .then((result) => setCollections(result.collections), state.fail);
  }, [connection]);
  useEffect(load, [load]);

  const { text } = state;
  return (
    <AppContext.Provider value={state}>
      <header class="top">
        <a class="brand" href={formatRoute("search", {})}>
          {text("app.title")}
        </a>
        <nav aria-label={text("nav.label")}>
          {(["search", "ask", "atlas", "manage"] as const).map((view) => (
            <a
              key={view}
              href={formatRoute(view, {})}
              aria-current={route.view === view ? "page" : undefined}
            >
              {text(`nav.${view}`)}
            </a>
          ))}
        </nav>
        <label class="language">
          <span class="hidden">{text("language")}</span>
          <select
            value={language}
            onChange={(event) => setLanguage(event.currentTarget.value as Language)}
          >
            <option value="en">English</option>
            <option value="zh">中文</option>
          </select>
        </label>
      </header>
      <main>
        {asking ? (
          <TokenForm
            wrong={asking === "again"}
            onToken={(value) => {
              write("sessionStorage", TOKEN, value);
              setToken(value);
              setAsking("");
            }}
          />
        ) : route.view === "view" ? (
          <ViewerView params={route.params} />
        ) : route.view === "ask" ? (
          <AskView params={route.params} collections={collections} />
        ) : route.view === "atlas" ? (
          <AtlasView params={route.params} collections={collections} />
        ) : route.view === "manage" ? (
          <ManageView collections={collections} onChanged={load} />
        ) : (
          <SearchView params={route.params} collections={collections} />
        )}
      </main>
      <Notice value={notice} />
    </AppContext.Provider>
  );
}

function ChatApp({ bridge, host }: { bridge: BridgeConnection; host?: HostResult }) {
  const { state, notice } = useAppState(bridge, ignore);
  return (
    <AppContext.Provider value={state}>
      <main class="chat">
        <ChatView host={host} bridge={bridge} />
      </main>
      <Notice value={notice} />
    </AppContext.Provider>
  );
}

function ignore(): void {
  // A host holds the token itself.
}

function Notice({ value }: { value: string }) {
  return (
    <div class="notice" role="status" aria-live="polite">
      {value && <p>{value}</p>}
    </div>
  );
}

/**
 * Takes the token out of the address, where `sightline open` puts it. One in a link of another site
 * is not used: it would sign the person in as somebody else.
 */
function fragmentToken(): string | undefined {
  const [, token] = /^#token=([^&]+)$/.exec(location.hash) ?? [];
  if (token === undefined) return undefined;
  history.replaceState(null, "", location.pathname);
  if (document.querySelector('meta[name="sightline-token"][content="typed"]')) return undefined;
  try {
    const value = decodeURIComponent(token);
    write("sessionStorage", TOKEN, value);
    return value;
  } catch {
    return undefined; // not an encoded text
  }
}

/** A sandboxed frame may have no storage. */
type StorageName = "localStorage" | "sessionStorage";

function read(storage: StorageName, key: string): string | null {
  try {
    return window[storage].getItem(key);
  } catch {
    return null;
  }
}

function write(storage: StorageName, key: string, value: string): void {
  try {
    window[storage].setItem(key, value);
  } catch {
    // Then it lasts until the page is closed.
  }
}

async function start(root: HTMLElement): Promise<void> {
  if (document.querySelector('meta[name="sightline-mode"][content="chat"]') === null) {
    listenForPictures();
    render(<BrowserApp />, root);
    return;
  }
  let host: HostResult | undefined;
  let bridge: BridgeConnection | undefined;
  const draw = () => bridge && render(<ChatApp bridge={bridge} host={host} />, root);
  bridge = await BridgeConnection.open((result) => {
    host = result;
    draw();
  });
  draw();
}

const root = document.getElementById("app");
if (root) void start(root);
