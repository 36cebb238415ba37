# frozen_string_literal: true

# A Ruby handler: lambda_function.lambda_handler.
def lambda_handler(event:, context:)
  raise ArgumentError, 'asked to fail' if event['fail']

  puts "greeting #{event['name']}"
  {
    greeting: "Hello, #{event['name']}!",
    function: context.function_name,
    requestId: context.aws_request_id
  }
end
