# One image for every process of the order book: docker run durable-oms api | worker | gateway ibkr | db upgrade
FROM python:3.11-slim AS build
RUN python -m pip install --no-cache-dir --disable-pip-version-check uv==0.13.8
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY requirements/locked.txt requirements/locked.txt
COPY examples examples
COPY src src
# The locked file holds development tools too: as constraints, with its hashes, it pins what is installed and adds nothing.
RUN uv venv /opt/oms \
 && uv pip install --no-cache --python /opt/oms/bin/python \
      --constraints requirements/locked.txt --build-constraints requirements/locked.txt .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin oms
COPY --from=build /opt/oms /opt/oms
ENV PATH=/opt/oms/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER oms
WORKDIR /tmp
EXPOSE 9191
ENTRYPOINT ["oms"]
CMD ["--help"]
