"""What the administrators' pages call things; the English words are the keys of the gettext catalogue."""

FAMILIES = {
    "user": "Users",
    "account": "Lines",
    "blueprint": "Blueprint",
    "outbox": "Waiting and failed",
    "figure": "Figures",
    "party": "Customers",
    "consent": "Consents",
    "erasure": "Erasures",
    "case": "Cases",
    "conversation": "Conversations",
}
ACT_NAMES = {
    "reply": "Answered",
    "party.put": "Customer entered",
    "blueprint.published": "Blueprint published",
}
FACTS = {
    "login": "Login",
    "name": "Name",
    "roles": "Roles",
    "unit": "Unit",
    "queues": "Queues",
    "territories": "Territories",
    "account": "Line",
    "provider": "Provider",
    "title": "Title",
    "changed": "Changed",
    "version": "Version",
    "author": "Author",
    "approved_by": "Approved by",
    "queue": "Queue",
    "kind": "Kind",
    "state": "State",
    "period": "Period",
    "sku": "Product",
    "field": "Field",
    "purpose": "Purpose",
    "granted": "Granted",
    "reason": "Reason",
    "job": "Job",
    "error": "Error",
    "consumer": "Consumer",
}
PROVIDERS = {
    "sms.twilio": "Twilio",
    "sms.gateway": "HTTP gateway",
    "sms.simulator": "Simulator",
}
FIELD_LABELS = {
    "account_sid": "Account SID",
    "sender": "Sender number",
    "messaging_service_sid": "Messaging service SID",
    "api_key_sid": "API key SID",
    "api_base": "Address of the provider's API",
    "region": "Country of numbers without a country code",
    "status_callbacks": "Ask for delivery reports",
    "connect_seconds": "Seconds to wait for a connection",
    "answer_seconds": "Seconds to wait for an answer",
    "number": "Our number",
    "sink_url": "Post what leaves to this address",
    "keeps": "Messages kept",
    "receiving": "How messages come in",
    "sending": "How messages go out",
    "rate": "Most messages a second",
    "window": "Most messages under way at once",
}
FIELD_HINTS = {
    "sender": "The number that messages leave by; or name a messaging service.",
    "messaging_service_sid": "In place of a sender number.",
    "api_key_sid": "Empty: requests are authorised by the auth token.",
    "region": "Two capital letters, such as CN.",
    "rate": "Empty: as fast as the provider takes them.",
    "window": "Empty: as many as the provider takes.",
    "receiving": "The rules of this gateway as JSON; docs/adding-a-channel.md describes them.",
    "sending": "The rules of this gateway as JSON; empty where the line only receives.",
}
SECRET_LABELS = {
    "auth_token": "Auth token",
    "api_key_secret": "API key secret",
    "next_auth_token": "Auth token that follows",
    "webhook_key": "Shared key of webhooks",
    "outbound_key": "Key of what we send",
    "inbound_key": "Key of the gateway's signatures",
    "signing_key": "Key of the simulator's signatures",
}
PROBLEMS = {
    "Field required": "Needed.",
    "String should match pattern": "Not in the form that the provider uses.",
    "Input should be a valid number": "Write a number.",
    "Input should be a valid integer": "Write a whole number.",
    "Input should be greater than": "Too small.",
    "Input should be less than": "Too large.",
    "Extra inputs are not permitted": "This provider has no such value.",
    "is missing; give a reference": "Needed: where the secret lies, such as env:NAME.",
}


def words_for(problem: str) -> str:
    """Our words for what pydantic says of a value; its own where we have none."""
    return next((ours for theirs, ours in PROBLEMS.items() if problem.startswith(theirs)), problem)
