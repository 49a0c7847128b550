"""The proxy in front: TLS and one origin for pages, live sockets and webhooks, spread over the web processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LARGEST_BODY: Final = 1024 * 1024
"""As workers/web/webhooks.py has it, which would bring the whole hub along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    port: int
    web: Sequence[str]
    """host:port of each web process."""
    certificate: str
    key: str
    scratch: str
    """A folder that the proxy may write to."""
    user: str = ""
    """Whom its workers run as, and the group, when it is started by root; nobody else may change users."""


def nginx_conf(proxy: Proxy) -> str:
    """The whole configuration of an nginx, 1.18 or newer, that stays in the foreground."""
    servers = "\n".join(f"        server {each} max_fails=1 fail_timeout=1s;" for each in proxy.web)
    return _CONF.format(
        user=f"user {proxy.user};\n" if proxy.user else "",
        servers=servers,
        port=proxy.port,
        certificate=proxy.certificate,
        key=proxy.key,
        scratch=proxy.scratch,
        largest=LARGEST_BODY,
        buffer=LARGEST_BODY // 1024,
    )


_CONF = """\
# Made from workers/proxy.py: change it there.
{user}daemon off;
worker_processes auto;
worker_rlimit_nofile 8192;
pid {scratch}/nginx.pid;
error_log stderr warn;

events {{
    worker_connections 4000;
}}

http {{
    access_log off;
    server_tokens off;
    default_type application/octet-stream;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/answers;
    fastcgi_temp_path {scratch}/unused;
    uwsgi_temp_path {scratch}/unused;
    scgi_temp_path {scratch}/unused;

    # A message is written to disk by the hub or not at all.
    client_max_body_size {largest};
    client_body_buffer_size {buffer}k;
    client_header_timeout 15s;
    client_body_timeout 15s;
    keepalive_timeout 75s;
    keepalive_requests 100000;

    upstream web {{
        least_conn;
{servers}
        keepalive 64;
        keepalive_requests 100000;
        # Shorter than the hub's own 75 s: the one who sends must be the one who closes.
        keepalive_timeout 30s;
    }}

    map $http_upgrade $toward_hub {{
        default upgrade;
        "" "";
    }}

    server {{
        listen {port} ssl http2;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:tls:4m;
        ssl_session_timeout 1h;

        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto https;
        proxy_set_header X-Request-Id $request_id;
        proxy_set_header Connection "";
        proxy_connect_timeout 2s;

        # The other web process is tried when this one cannot be reached. A POST that has left is never offered again
        # (that would take `non_idempotent`): its sender was not answered and decides.
        proxy_next_upstream error timeout;
        proxy_next_upstream_tries 2;
        proxy_next_upstream_timeout 5s;

        location / {{
            proxy_pass http://web;
            proxy_read_timeout 60s;
        }}

        # A provider gives up after 10 to 15 s, and then sends again.
        location /hooks/ {{
            proxy_pass http://web;
            proxy_read_timeout 15s;
        }}

        # The hub beats every 5 s, so silence means that the process is gone.
        location = /api/live {{
            proxy_pass http://web;
            # Whoever sets one header here inherits none.
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Request-Id $request_id;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $toward_hub;
            proxy_read_timeout 20s;
            proxy_send_timeout 20s;
            proxy_buffering off;
        }}

        # For machines of the house, over the processes' own ports.
        location = /metrics {{
            return 404;
        }}
        location = /readyz {{
            return 404;
        }}
    }}
}}
"""
