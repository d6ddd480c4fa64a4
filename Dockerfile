# One program in a small image. The build takes tens of minutes on two cores; the images that it starts from are
# arguments, for a mirror or a newer release.
ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked --bin highwater

FROM ${BASE_IMAGE}
# TLS to an object store is checked against these. Nothing else is needed of the system but libc, so that any base will
# do, a distroless one too.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/dist/highwater /usr/local/bin/highwater
# No state is kept in the container, so it needs no rights in it.
USER 65534:65534
ENTRYPOINT ["highwater"]
