# The function's image: one static binary, and what scripts expect to find.
#
#   docker build --build-arg VERSION=… --build-arg COMMIT=… --build-arg IMAGE=… .
#
# Both bases can be replaced by others of the same kind: one with Go, one with apt.
# docs/platform/image.md says how to add tools for scripts, and how to raise the pins.
ARG GO_IMAGE=docker.io/library/golang:1.26.8-trixie@sha256:bdca99a00bc16590cb1a0bb4e698f5fc5d6a64e4d5eef13d9f18a0ee08e5fa65
ARG RUNTIME_IMAGE=docker.io/library/debian:trixie-20260918-slim@sha256:a99cfc517144bc59b1978475ec53b46ecabec7e43635402ee5b77cc54cd1b20a

FROM ${GO_IMAGE} AS build
# The image's own Go, never one that is downloaded instead.
ENV GOTOOLCHAIN=local
ARG GOPROXY
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION
ARG COMMIT
ARG IMAGE
RUN scripts/build.sh /out/cemli-executor .

FROM ${RUNTIME_IMAGE}
# More Debian packages, for the scripts of one's own packages: "sqlite3 python3-minimal".
ARG EXTRA_PACKAGES
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update -q \
 && apt-get install -q -y --no-install-recommends \
      bash ca-certificates coreutils curl diffutils findutils gawk grep gzip jq openssl sed tar unzip ${EXTRA_PACKAGES} \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
 && groupadd --gid 1000 fn \
 && useradd --uid 1000 --gid fn --create-home --shell /usr/sbin/nologin fn
COPY --from=build /out/cemli-executor /function/cemli-executor
ARG VERSION
ARG COMMIT
LABEL org.opencontainers.image.title="cemli-executor" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
# By number, so that a platform can see that it is not root.
USER 1000:1000
ENV HOME=/home/fn
WORKDIR /function
ENTRYPOINT ["/function/cemli-executor"]
