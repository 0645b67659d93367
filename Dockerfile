# Image of the service; the same image migrates (`node src/bin/migrate.ts`) and runs the local engine
# (`node src/local/engine/main.ts`). To pin the base by its digest: docs/operations.md, "The image".
FROM node:24.21.0-bookworm-slim AS base

FROM base AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# Without optional packages: the image has Node, and neither a database nor its binaries belong into it.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
  # Nothing reads these at run time, and they are a third of the folder.
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM base
ARG VERSION=0.1.0
ARG REVISION=unknown
# The address of the repository that the image is built from.
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="agent-chat-service" \
  org.opencontainers.image.description="HTTP service in front of an AI agent: durable runs on Trigger.dev, conversations in Postgres." \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="$VERSION" \
  org.opencontainers.image.revision="$REVISION" \
  org.opencontainers.image.source="$SOURCE"
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 LOCAL_DATA_DIR=/data
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY migrations ./migrations
COPY plugins ./plugins
COPY routes ./routes
COPY src ./src
# A process that finds compiled code is ready in three quarters of the time. At run time the folder may be read-only.
ENV NODE_COMPILE_CACHE=/app/node_modules/.cache/compiled
RUN node --input-type=module --eval "await import('/app/src/app.ts')"
# Written to by the development default alone (its signing secret); everything else may be read-only.
RUN mkdir /data && chown 1000:1000 /data
# The user `node`, by number: Kubernetes' runAsNonRoot cannot tell who a name is.
USER 1000:1000
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["node", "src/bin/healthcheck.ts"]
CMD ["node", "src/bin/server.ts"]
