"""An OpenTelemetry collector: takes spans as OTLP over HTTP with protobuf, and keeps them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    trace: UUID
    id: bytes
    parent: bytes
    process: str
    name: str
    started: int
    ended: int
    attributes: dict[str, str | int]
    links: tuple[UUID, ...]
    has_failed: bool


@dataclass(slots=True)
class FakeCollector:
    url: str = ""
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def of(self, trace: UUID) -> list[Span]:
        return [span for span in self.spans if span.trace == trace]

    def tree(self, trace: UUID) -> dict[str, str]:
        """The name of each span's parent; empty for the root."""
        names = {span.id: span.name for span in self.of(trace)}
        return {span.name: names[span.parent] if span.parent else "" for span in self.of(trace)}

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        said = ExportTraceServiceRequest.FromString(body)
        for group in said.resource_spans:
            about = {each.key: each.value.string_value for each in group.resource.attributes}
            for scope in group.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Span(
                            trace=UUID(bytes=span.trace_id),
                            id=span.span_id,
                            parent=span.parent_span_id,
                            process=about["service.instance.id"],
                            name=span.name,
                            started=span.start_time_unix_nano,
                            ended=span.end_time_unix_nano,
                            attributes={
                                each.key: each.value.string_value or each.value.int_value
                                for each in span.attributes
                            },
                            links=tuple(UUID(bytes=link.trace_id) for link in span.links),
                            has_failed=span.status.code == 2,
                        )
                    )
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )


@asynccontextmanager
async def collecting() -> AsyncIterator[FakeCollector]:
    collector = FakeCollector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()
