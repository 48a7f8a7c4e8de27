import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Console } from "./console.ts";

export const ConsoleContext = createContext<Console | null>(null);

export function useConsole(): Console {
  return useContext(ConsoleContext)!;
}
