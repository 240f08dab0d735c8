# The monitor alone: what `drawbridge run` and the verbs beside it need. Rehearsals and forge need the checkout (make demo).
FROM python:3.12-slim AS build
RUN pip install --no-cache-dir uv==0.9.*
WORKDIR /app
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --frozen --no-dev --no-install-project
COPY monitor monitor
COPY detectors detectors
COPY responders responders
RUN uv sync --frozen --no-dev --no-editable

FROM python:3.12-slim
RUN useradd --uid 10001 --create-home drawbridge
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER drawbridge
WORKDIR /config
ENTRYPOINT ["drawbridge"]
CMD ["run", "/config/drawbridge.yaml"]
