"""Small OpenAI-compatible server for one LLaVA: ``sightline vlm builtin``.

builtin_server        process or thread that runs the server
openai_app            HTTP routes and responses
chat_request          request validation, messages and images
request_limits        limits and errors
constrained_decoding  JSON schema, choice and regular expression
generation_engine     generation; detokenizer turns tokens into text
"""
