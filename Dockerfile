# docker build -t souvenir .   Each step is one of deploy/image.sh, which a test runs; docs/deployment.md says how to use it.
FROM python:3.13-slim AS build
COPY . /source
RUN sh /source/deploy/image.sh install /source /opt/souvenir
RUN sh /source/deploy/image.sh slim /opt/souvenir

FROM python:3.13-slim
COPY deploy/image.sh /opt/image.sh
RUN sh /opt/image.sh user souvenir /data
COPY --from=build /opt/souvenir /opt/souvenir
ENV PATH=/opt/souvenir/bin:$PATH SOUVENIR_STORE=/data PYTHONUNBUFFERED=1
USER souvenir
VOLUME /data
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["sh", "/opt/image.sh", "health", "http://127.0.0.1:8765/health"]
ENTRYPOINT ["souvenir"]
CMD ["serve", "--http", "--host", "0.0.0.0"]
