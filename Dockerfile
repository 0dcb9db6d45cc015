# A public demo of the explorer: docker build --build-arg TORCH_INDEX=... -t workbench . && docker run -p 8501:8501 workbench
# docs/hosting.md says more. TORCH_INDEX is PyTorch's own index of CPU builds, which the lock needs.
FROM python:3.11-slim-bookworm
ARG TORCH_INDEX
WORKDIR /workbench
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes --extra-index-url "$TORCH_INDEX" -r requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps . && useradd --create-home --home-dir /srv/demo demo
USER demo
# Beside a checkout that cannot be written to: nothing is kept but in memory.
WORKDIR /srv/demo
ENV HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD \
  ["python", "-c", "import urllib.request as r; r.urlopen('http://localhost:8501/_stcore/health', timeout=4)"]
CMD ["workbench", "explore", "--demo", "--no-browser", "--address", "0.0.0.0"]
