# lcplm-graph on CPUs:
#   docker build -t lcplm-graph .
#   docker run --rm -v "$PWD:/work" lcplm-graph embed proteins.fasta --encoder lcplm-2m --out proteins.h5
# README's main job:
#   docker run --rm -v "$PWD:/work" --entrypoint python lcplm-graph /opt/lcplm-graph/examples/link_prediction.py

FROM python:3.11-slim AS build
WORKDIR /opt/lcplm-graph
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY cards cards
COPY lcplm_graph lcplm_graph
# torch's CPU build first: the one of PyPI brings gigabytes of CUDA libraries.
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
       "$(grep '^torch==' constraints.txt)" \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.11-slim
COPY --from=build /opt/venv /opt/venv
COPY examples /opt/lcplm-graph/examples
ENV PATH=/opt/venv/bin:$PATH LCPLM_DATA=/data NUMBA_CACHE_DIR=/data/numba
# Whoever the container runs as must be able to keep downloads, features and compiled kernels.
RUN mkdir -p /data && chmod 1777 /data
VOLUME /data
WORKDIR /work
ENTRYPOINT ["lcplm"]
CMD ["--help"]
