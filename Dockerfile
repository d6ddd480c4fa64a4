# The release build of one program in a small image. The build takes tens of minutes on two cores.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin highwater

FROM debian:bookworm-slim
# TLS to an object store is checked against the system's certificates.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/highwater /usr/local/bin/highwater
# No state is kept in the container, so it needs no rights in it.
USER nobody
ENTRYPOINT ["highwater"]
