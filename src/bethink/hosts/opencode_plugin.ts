// Bethink for opencode: recalls before each answer and captures after it, through `bethink hook opencode`.
// Written by `bethink setup`; `bethink setup --undo` removes it.
import { spawn } from "node:child_process"

const COMMAND: string[] = ["bethink"]
// A prompt is never held up longer than this.
const PATIENCE_MS = 2000

type Reply = { context?: string }

function ask(event: Record<string, unknown>): Promise<Reply> {
  return new Promise((resolve) => {
    const done = (reply: Reply) => {
      clearTimeout(timer)
      resolve(reply)
    }
    const child = spawn(COMMAND[0], [...COMMAND.slice(1), "hook", "opencode"], { stdio: ["pipe", "pipe", "ignore"] })
    const timer = setTimeout(() => {
      child.kill()
      done({})
    }, PATIENCE_MS)
    let out = ""
    child.stdout.on("data", (chunk) => (out += chunk))
    child.stdin.on("error", () => undefined)
    child.on("error", () => done({}))
    child.on("close", () => {
      try {
        done(out.trim() ? JSON.parse(out) : {})
      } catch {
        done({})
      }
    })
    child.stdin.end(JSON.stringify(event))
  })
}

const words = (parts: any[]): string =>
  parts
    .filter((part) => part.type === "text" && !part.synthetic && !part.ignored)
    .map((part) => part.text)
    .join("\n")
    .trim()

export const Bethink = async ({ client, directory }: any) => {
  const briefs = new Map<string, string>()
  const notes = new Map<string, string>()
  const prompts = new Map<string, string>()
  const children = new Set<string>()
  const about = (session: string) => ({ session, cwd: directory })

  async function lastAnswer(session: string): Promise<string> {
    const { data } = await client.session.messages({ path: { id: session } })
    const answers = (data ?? []).filter((message: any) => message.info.role === "assistant" && !message.info.summary)
    return answers.length ? words(answers[answers.length - 1].parts) : ""
  }

  return {
    event: async ({ event }: any) => {
      const session: string = event.properties?.sessionID ?? event.properties?.info?.id ?? ""
      if (!session) return
      if (event.type === "session.created" && event.properties.info?.parentID) children.add(session)
      if (event.type === "session.idle" && prompts.has(session)) {
        const prompt = prompts.get(session)
        prompts.delete(session)
        const answer = await lastAnswer(session).catch(() => "")
        await ask({ event: "stop", ...about(session), prompt, last_assistant_message: answer })
      }
      if (event.type === "session.compacted") {
        const reply = await ask({ event: "session_start", source: "compact", ...about(session) })
        if (reply.context) briefs.set(session, reply.context)
      }
      if (event.type === "session.deleted") {
        for (const known of [briefs, notes, prompts]) known.delete(session)
        await ask({ event: "session_end", source: "deleted", ...about(session) })
      }
    },
    "chat.message": async (input: any, output: any) => {
      const session: string = input.sessionID
      const prompt = words(output.parts)
      if (!prompt || children.has(session)) return
      prompts.set(session, prompt)
      notes.delete(session)
      const [brief, reply] = await Promise.all([
        briefs.has(session) ? undefined : ask({ event: "session_start", ...about(session) }),
        ask({ event: "prompt", prompt, ...about(session) }),
      ])
      if (brief) briefs.set(session, brief.context ?? "")
      if (reply.context) notes.set(session, reply.context)
    },
    "experimental.chat.system.transform": async (input: any, output: any) => {
      for (const known of [briefs, notes]) {
        const text = input.sessionID && known.get(input.sessionID)
        if (text) output.system.push(text)
      }
    },
    "experimental.session.compacting": async (input: any, output: any) => {
      const reply = await ask({ event: "pre_compact", ...about(input.sessionID) })
      if (reply.context) output.context.push(reply.context)
    },
  }
}
