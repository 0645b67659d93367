import { SerializerSelector } from '@fastify/fast-json-stringify-compiler'
import { isRefusal } from '../schemas/problem.ts'

type Builder = ReturnType<typeof SerializerSelector>
type Compiler = ReturnType<Builder>

/**
 * Makes Fastify's serializers. Compiling one takes milliseconds, and Fastify asks for every status of every route, so
 * equal schemas share one. A refusal is a declaration for the API description: its body is serialized by the errors
 * plugin, and needs no serializer of its own.
 */
export function serializerBuilder(): Builder {
  const build = SerializerSelector()
  const compilers = new Map<string, Compiler>()
  return (shared, options) => {
    const ids = Object.keys((shared ?? {}) as object).join()
    const compiler = compilers.get(ids) ?? withMemory(build(shared, options))
    compilers.set(ids, compiler)
    return compiler
  }
}

function withMemory(compile: Compiler): Compiler {
  const serializers = new Map<string, ReturnType<Compiler>>()
  return (route) => {
    if (isRefusal(route.schema)) return JSON.stringify
    const text = JSON.stringify(route.schema)
    const serializer = serializers.get(text) ?? compile(route)
    serializers.set(text, serializer)
    return serializer
  }
}
