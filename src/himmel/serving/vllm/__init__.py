"""The plug-in for vLLM: Qwen2.5-VL that reads motion tokens. Nothing here is imported unless vLLM runs."""
