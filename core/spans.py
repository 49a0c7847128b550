"""Spans for a collector: OpenTelemetry over OTLP/HTTP. Imported only where a collector is configured."""

from threading import Timer
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from core.tracing import Attributes, Kind, Step

_FAREWELL: Final = 2.0  # seconds for what is still to be sent when the process stops


def otlp_recorder(process: str) -> "SpanRecorder":
    """Sends to the collector that the OTEL_EXPORTER_OTLP_… variables name, with the headers and time-outs they give."""
    return SpanRecorder(OTLPSpanExporter(), process)


class _Given(IdGenerator):
    """The ids of the step that is being written down."""

    trace_id = 0
    span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class SpanRecorder:
    """A thread of the library sends the spans in batches; when the collector is away the oldest are dropped."""

    def __init__(self, exporter: SpanExporter, process: str) -> None:
        self._exporter = exporter
        self._ids = _Given()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "switchboard", "service.instance.id": process}),
            sampler=ALWAYS_ON,  # what is traced was decided before
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("switchboard")

    def record(
        self,
        step: Step,
        started: int,
        ended: int,
        attributes: Attributes,
        *,
        parent: Step | None = None,
        kind: Kind = "internal",
        failure: str = "",
        linked: Step | None = None,
    ) -> None:
        self._ids.trace_id, self._ids.span_id = step.entry.int, step.span_id
        context = Context()
        if parent is not None:
            context = set_span_in_context(NonRecordingSpan(_context_of(parent)), context)
        span = self._tracer.start_span(
            step.name,
            context,
            kind=SpanKind[kind.upper()],
            attributes=attributes,
            links=[Link(_context_of(linked))] if linked is not None else None,
            start_time=started,
        )
        if failure:
            span.set_status(Status(StatusCode.ERROR, failure))
        span.end(max(started, ended))

    def close(self) -> None:
        # The exporter tries again while its collector is away, until it is told to end.
        impatient = Timer(_FAREWELL, self._exporter.shutdown)
        impatient.start()
        self._provider.shutdown()
        impatient.cancel()


def _context_of(step: Step) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(step.entry.int, step.span_id, is_remote=True, trace_flags=flags)
