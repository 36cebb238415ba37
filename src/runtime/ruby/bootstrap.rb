# frozen_string_literal: true

# bootstrap.rb - the managed runtime of Ruby functions, 3.0 and newer.
#
# A client of the HTTP Runtime API: takes one invocation after the other, calls the handler with
# event: and context:, and answers. Handlers, context and error shapes are as in AWS's own Ruby
# runtime. Nothing but `socket` and `json` is loaded before the function's code.

require 'json'
require 'socket'

module LambkinRuntime
  # One kept connection; the platform answers with a Content-Length or in chunks.
  class Api
    def initialize(address)
      @host, port = address.split(':')
      @port = Integer(port || 80)
    end

    # [status, headers with lower-case names, body]
    def request(method, path, body = nil, headers = {})
      @socket ||= connect
      head = +"#{method} /2018-06-01/runtime/#{path} HTTP/1.1\r\nHost: #{@host}:#{@port}\r\n"
      headers.each { |name, value| head << "#{name}: #{value}\r\n" }
      head << "Content-Length: #{body.bytesize}\r\n" if body
      head << "\r\n"
      @socket.write(head.b << body.to_s.b)
      read_answer
    end

    private

    def connect
      socket = TCPSocket.new(@host, @port)
      socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
      socket
    end

    def line
      @socket.gets("\r\n")&.chomp || raise(EOFError, 'the platform has gone')
    end

    def read_answer
      status = line.split(' ')[1].to_i
      headers = {}
      until (text = line).empty?
        name, value = text.split(':', 2)
        headers[name.downcase] = value.strip
      end
      [status, headers, read_body(headers)]
    end

    def read_body(headers)
      return @socket.read(headers['content-length'].to_i) unless headers['transfer-encoding'] == 'chunked'

      body = +''.b
      while (size = line.to_i(16)).positive?
        body << @socket.read(size)
        line
      end
      line
      body
    end
  end

  # What a handler learns about its invocation.
  class Context
    attr_reader :aws_request_id, :invoked_function_arn, :deadline_ms, :identity, :client_context,
                :log_group_name, :log_stream_name, :function_name, :memory_limit_in_mb,
                :function_version

    def initialize(headers)
      @aws_request_id = headers['lambda-runtime-aws-request-id']
      @invoked_function_arn = headers['lambda-runtime-invoked-function-arn']
      @deadline_ms = headers['lambda-runtime-deadline-ms'].to_i
      @identity = parse(headers['lambda-runtime-cognito-identity'])
      @client_context = parse(headers['lambda-runtime-client-context'])
      @log_group_name = ENV['AWS_LAMBDA_LOG_GROUP_NAME']
      @log_stream_name = ENV['AWS_LAMBDA_LOG_STREAM_NAME']
      @function_name = ENV['AWS_LAMBDA_FUNCTION_NAME']
      @memory_limit_in_mb = ENV['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']
      @function_version = ENV['AWS_LAMBDA_FUNCTION_VERSION']
    end

    def get_remaining_time_in_millis
      [@deadline_ms - Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond), 0].max
    end
    alias remaining_time_in_millis get_remaining_time_in_millis

    private

    def parse(text)
      JSON.parse(text) if text && !text.empty?
    end
  end

  # "file.method" or "file.Module::Class.method", the file with or without folders.
  class Handler
    def initialize(text)
      @file, *rest = text.split('.')
      @method = rest.pop
      @owner = rest.pop
      return if @method && rest.empty?

      raise ArgumentError, "Invalid handler #{text}, must be of form FILENAME.METHOD or " \
                           'FILENAME.CLASS.METHOD where FILENAME corresponds with an existing ' \
                           'Ruby source file FILENAME.rb, CLASS is an optional module/class ' \
                           'namespace and METHOD is a callable method.'
    end

    def load
      $LOAD_PATH.unshift(ENV['LAMBDA_TASK_ROOT']) unless $LOAD_PATH.include?(ENV['LAMBDA_TASK_ROOT'])
      require @file
    end

    # [body, content type]
    def call(event, context)
      target = @owner ? Object.const_get(@owner) : TOPLEVEL_BINDING.receiver
      result = target.__send__(@method, event: event, context: context)
      return [result.read, 'application/unknown'] if result.respond_to?(:read)

      [result.to_json, 'application/json']
    end
  end

  module_function

  def failure(error, phase)
    trace = (error.backtrace || []).reject { |l| l.start_with?("#{__FILE__}:") }
    message = error.message.dup.force_encoding(Encoding::UTF_8).scrub
    type = "#{phase}<#{error.class}>"
    { errorMessage: message, errorType: type, stackTrace: trace }
  end

  def tell(api, path, failure)
    warn JSON.generate(failure) if path == 'init/error'
    api.request('POST', path, JSON.generate(failure),
                'Content-Type' => 'application/vnd.aws.lambda.error+json',
                'Lambda-Runtime-Function-Error-Type' => failure[:errorType])
  end

  def log_failure(failure)
    $stdout.puts "Error raised from handler method\n#{JSON.generate(failure)}"
  end

  def serve(api, handler)
    _, headers, body = api.request('GET', 'invocation/next')
    context = Context.new(headers)
    ENV['_X_AMZN_TRACE_ID'] = headers['lambda-runtime-trace-id']
    begin
      event = JSON.parse(body.force_encoding(Encoding::UTF_8), max_nesting: false)
      answer, type = handler.call(event, context)
    rescue SystemExit, SignalException
      raise
    rescue Exception => e # rubocop:disable Lint/RescueException
      failed = failure(e, 'Function')
      log_failure(failed)
      return tell(api, "invocation/#{context.aws_request_id}/error", failed)
    end
    api.request('POST', "invocation/#{context.aws_request_id}/response", answer,
                'Content-Type' => type)
  end

  def run
    $stdout.sync = $stderr.sync = true
    api = Api.new(ENV.fetch('AWS_LAMBDA_RUNTIME_API'))
    begin
      handler = Handler.new(ENV.fetch('_HANDLER'))
      handler.load
    rescue SystemExit, SignalException
      raise
    rescue Exception => e # rubocop:disable Lint/RescueException
      tell(api, 'init/error', failure(e, 'Init'))
      exit!(1)
    end
    loop { serve(api, handler) }
  rescue EOFError, Errno::ECONNRESET, Errno::EPIPE
    exit!(0)
  end
end

LambkinRuntime.run
