"""Client of an OpenAI-compatible endpoint that serves a vision-language model.

vlm_client          one call: deadline, concurrency limit, retries, response cache
vlm_endpoint        address, model and limits of the endpoint
request_builder     chat completion request, with images as data URLs
transport           one HTTP request and its errors
response_parser     validation of untrusted responses
unsupported_params  request fields that the endpoint rejected
retry               retry delays and circuit breaker

Empty: httpx is imported only when a client is created.
"""
