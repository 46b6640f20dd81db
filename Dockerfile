# The image of the sidecar: one static binary, and nothing else. `make static` builds it for the machine's architecture and puts
# it below dist/; the release workflow does so on both and makes one image of them. Nothing is run here, so that no emulator is
# needed.
FROM gcr.io/distroless/static-debian13:nonroot@sha256:f7f8f729987ad0fdf6b05eeeae94b26e6a0f613bdf46feea7fc40f7bd72953e6

LABEL org.opencontainers.image.title="acr-credential-sidecar" \
      org.opencontainers.image.description="Keeps the pull secrets of Alibaba Cloud Container Registry fresh in Kubernetes namespaces" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/acr-credential-helper/acr-credential-helper" \
      org.opencontainers.image.documentation="https://github.com/acr-credential-helper/acr-credential-helper/blob/main/docs/operations.md" \
      org.opencontainers.image.vendor="acr-credential-helper authors"

ARG TARGETOS
ARG TARGETARCH
COPY dist/${TARGETOS}_${TARGETARCH}/acr-credential-sidecar /acr-credential-sidecar

# By number, so that `runAsNonRoot` can be checked without the image's own list of users.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/acr-credential-sidecar"]
